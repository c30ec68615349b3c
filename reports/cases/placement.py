"""Questions that separate a journalled task from a queue: one machine or many, load on the database."""

from __future__ import annotations

import math

from reports.cases.kinds import Choice, Evidence, Question, cell_of, describe_losses
from reports.data import evidence, formatting
from reports.data.evidence import JOURNALLED, TASK
from reports.data.run import Run
from reports.verdicts.kinds import comparison_number, median_of

SETUP, MAIL = "account_setup", "welcome_email"
#: The fault of docs/faults.md that locks the database.
LOCKED = 34


def machines(run: Run) -> tuple[Question, ...]:
    """Whether jobs must run on other machines than the app's; nothing where no journal was measured."""
    if not _is_measured(run):
        return ()
    return (
        Question(
            key="machines",
            text="Must jobs run on other machines than the app's?",
            answers=(
                Choice(
                    key="yes",
                    label="yes",
                    short="jobs must run on other machines",
                    points="queue",
                    implies="A task runs in the app's own process, journalled or not; a queue's workers may "
                    "run anywhere. A journal in SQLite, which was measured, is a file that the processes of "
                    "one machine share; replicas of the app on several machines share one in PostgreSQL. By "
                    "how they are built, not by a figure: each side of this run had one machine.",
                ),
                Choice(
                    key="no",
                    label="no, the app's will do",
                    short="the app's machine will do",
                    points="either",
                    implies="Several processes of the app on one machine share a journal; nothing here "
                    "asks for a queue.",
                ),
            ),
        ),
    )


def database(run: Run) -> tuple[Question, ...]:
    """Whether the app's database takes the journal's writes; nothing where no journal was measured."""
    if not _is_measured(run):
        return ()
    return (
        Question(
            key="database",
            text="Has the app a database that can take two or three more writes for each job?",
            answers=(
                Choice(
                    key="yes",
                    label="yes",
                    short="its database takes the writes",
                    points="either",
                    implies="A journalled task stays possible. Its price is paid by whoever hands the job "
                    "over, and by everybody else who writes to that database.",
                    evidence=_price(run),
                ),
                Choice(
                    key="no",
                    label="no",
                    short="no database takes its writes",
                    points="no-journal",
                    implies="A journal is rows of the app's database: what must survive then needs a "
                    "queue, with a broker of its own.",
                ),
            ),
        ),
    )


def _is_measured(run: Run) -> bool:
    return any((run.table(name)["side"] == JOURNALLED).any() for name in ("latency", "failures", "capacity"))


def _price(run: Run) -> tuple[Evidence, ...]:
    """What the journal costs its caller, how much it gets done, and what it lost to a locked database."""
    found = []
    for scenario in (SETUP, MAIL):
        number = comparison_number(median_of(run, scenario, "caller", JOURNALLED))
        if number is not None:
            text = f"{formatting.scenario(scenario)}, {number.label}: {number.value} ({number.detail})"
            found.append(Evidence(text=text, at=f"verdict-{scenario}"))
    most = {one.side: one for one in evidence.capacities(run.table("capacity"))}
    if TASK in most and JOURNALLED in most:
        sides = " and ".join(f"{formatting.side(side)} {most[side]}" for side in (JOURNALLED, TASK))
        found.append(Evidence(text=f"requests that each got done at most: {sides}", at="load"))
    locked = evidence.losses(run, scenario=SETUP, fault=LOCKED, side=JOURNALLED)
    if locked is not None and math.isfinite(locked.share):
        found.append(Evidence(text=describe_losses(locked), at=cell_of(LOCKED, JOURNALLED)))
    return tuple(found)
