"""Which to take, for each scenario: pure functions of the tables, no composite score.

Each scenario has one question of stakes, and one kind of finding decides it:

| scenario      | decided by                                                                   |
|---------------|------------------------------------------------------------------------------|
| account_setup | jobs lost at faults 10, 12 and 13 (kill -9 app, kill -9 worker, SIGTERM)     |
| account_sync  | the age of the balance at p99; ticks missed and drift explain it             |
| welcome_email | what the caller pays, else the response, by the words of `comparisons.csv`   |

Every verdict can come out for either side, or open: `unsettled` where the figures do not decide,
`not measured` where there are none. The side that speaks for queues is the hardened profile, or
stock where that alone was measured.
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
    """A verdict for each scenario that the run was asked for, in the order of the article.

    Of an app of one's own: one for each task, and for each entry of its schedule.
    """
    if run.mapping("own_app"):
        return own_app.verdicts(run)
    chosen = run.texts("scenarios") or list(_JUDGES)
    return [judge(run) for name, judge in _JUDGES.items() if name in chosen]
