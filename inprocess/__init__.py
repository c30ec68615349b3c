"""Background work inside the app's own process: supervised asyncio tasks, standard library only.

    from inprocess import RestartIntensity, Supervisor, Task, TaskSupervisor

- `TaskSupervisor.start_child(fn, *args, restart=...)`: run a function, restarted when it crashes.
- `GenServer`: state behind a mailbox, one message at a time; `Anchored` and `WorkThenRearm` are
  ready-made ones for periodic work.
- `Task.start(fn, *args)`: fire and forget, with a strong reference and a logged error.
- `Supervisor`: a tree of the above. `drain` ends one gracefully and reports what was cut off.
- `Runtime`: a loop on a thread, for callers that have none.

Nothing here survives the process: work in memory is lost when it is killed. Importing this
package loads no third-party module; the three scenarios (`inprocess.account_setup`,
`inprocess.account_sync`, `inprocess.welcome_email`) are imported on demand.
"""

from inprocess.supervision.child import Child, current_attempt, current_child
from inprocess.supervision.clock import Clock, LoopClock, Timer, sleep
from inprocess.supervision.drain import CutOff, DrainReport, drain
from inprocess.supervision.errors import (
    AlreadyStartedError,
    CallTimeoutError,
    Refused,
    ServerDiedError,
    StartError,
    UnhandledMessageError,
)
from inprocess.supervision.exits import NORMAL, SHUTDOWN, Exit, Restart, Shutdown, Stop
from inprocess.supervision.gen_server import NO_REPLY, Caller, GenServer
from inprocess.supervision.names import whereis
from inprocess.supervision.periodic import Anchored, Grid, TickCounts, WorkThenRearm
from inprocess.supervision.process import Held, Process, ShutdownLimit
from inprocess.supervision.restarts import Backoff, RestartIntensity
from inprocess.supervision.runtime import Runtime, attach, home_loop
from inprocess.supervision.supervisor import ChildSpec, Strategy, Supervisor
from inprocess.supervision.task import Task
from inprocess.supervision.task_supervisor import TaskSupervisor

__all__ = [
    "NORMAL",
    "NO_REPLY",
    "SHUTDOWN",
    "AlreadyStartedError",
    "Anchored",
    "Backoff",
    "CallTimeoutError",
    "Caller",
    "Child",
    "ChildSpec",
    "Clock",
    "CutOff",
    "DrainReport",
    "Exit",
    "GenServer",
    "Grid",
    "Held",
    "LoopClock",
    "Process",
    "Refused",
    "Restart",
    "RestartIntensity",
    "Runtime",
    "ServerDiedError",
    "Shutdown",
    "ShutdownLimit",
    "StartError",
    "Stop",
    "Strategy",
    "Supervisor",
    "Task",
    "TaskSupervisor",
    "TickCounts",
    "Timer",
    "UnhandledMessageError",
    "WorkThenRearm",
    "attach",
    "current_attempt",
    "current_child",
    "drain",
    "home_loop",
    "sleep",
    "whereis",
]
