"""Which to take, for each scenario: pure functions of the tables, no composite score.

One kind of finding decides each scenario:

| scenario      | decided by                                                                   |
|---------------|------------------------------------------------------------------------------|
| account_setup | jobs lost at faults 10, 12 and 13 (kill -9 app, kill -9 worker, SIGTERM)     |
| account_sync  | the age of the balance at p99; ticks missed and drift explain it             |
| welcome_email | what the caller pays, else the response, by the words of `comparisons.csv`   |

Every verdict can go to either side. It is `unsettled` where the figures do not decide and `not measured`
where there are none. The queue that is judged is hardened Celery, or stock Celery where only that was
measured.
"""

from __future__ import annotations

from reports.data.run import Run
from reports.verdicts import account_setup, account_sync, own_app, welcome_email
from reports.verdicts.kinds import Choice, Number, Verdict

__all__ = ["Choice", "Number", "Verdict", "verdicts"]

_JUDGES = {
    "account_setup": account_setup.judge,
    "account_sync": account_sync.judge,
    "welcome_email": welcome_email.judge,
}


def verdicts(run: Run) -> list[Verdict]:
    """A verdict for each scenario of the run.

    For your own app: one for each task, and one for each entry of its schedule.
    """
    if run.mapping("own_app"):
        return own_app.verdicts(run)
    chosen = run.texts("scenarios") or list(_JUDGES)
    return [judge(run) for name, judge in _JUDGES.items() if name in chosen]
