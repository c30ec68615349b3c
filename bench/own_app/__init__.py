"""Bring your own Celery app: its tasks on both sides, through the same load, faults and measures.

| file           | what it holds                                                                  |
|----------------|--------------------------------------------------------------------------------|
| workload       | which tasks, how often, with which arguments: from options or a TOML file       |
| amounts        | `50/s` and `500ms` as numbers                                                    |
| arguments      | arguments that are made anew for each call                                       |
| describe       | a child process that imports the app and tells what it found                     |
| own            | the app under test as the harness knows it; its sides, loads and faults           |
| adopted        | in a child: the app, imported and turned away from its own broker                 |
| recording      | in a child: Celery's signals and `bench.hooks` written into the ledger            |
| host, worker   | the processes: the app's web host on either side; worker and beat                 |
| held           | where jobs wait that have not ended                                               |
| forget         | takes the run's own queue off the app's own broker                                |
| stack          | those processes as one side, for one block                                        |

The app's code is imported in child processes alone, never in the harness.
"""

from __future__ import annotations

#: What the kind of an effect is called that is a task's completion, for want of a better witness.
COMPLETION = "completion"
