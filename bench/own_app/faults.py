"""The faults that apply to the user's tasks: those of processes and of the broker.

docs/faults.md has no expectations for the user's app: a strike is counted, not compared. Faults of the
built-in services, of fault jobs and of the built-in schedules do not apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.errors import BenchError
from bench.faults import FAULTS
from bench.faults.spec import Expected, Fault, Row, recorded_facts
from bench.own_app.sides import CELERY_APP

#: Faults of both sides: a killed app, a deploy, a burst.
BOTH_SIDES = (10, 13, 31)
#: Faults of workers: a killed child, a killed worker, a late worker.
WORKERS = (11, 12, 24)
#: Faults of a broker that the run started: refuses, silent, half-open, slow, killed, restarted, full.
BROKER = (16, 17, 18, 19, 20, 21, 22)
#: The report's note on a fault of the broker.
OUR_BROKER = "the broker is ours and keeps no file"


def select_faults(numbers: Sequence[int], *, named: bool, use_app_broker: bool) -> list[Fault]:
    """The faults with these numbers that apply; without numbers, all that apply.

    Raise BenchError for one that does not apply where the command line `named` it.
    """
    known = sorted((*BOTH_SIDES, *WORKERS, *(() if use_app_broker else BROKER)))
    for number in numbers if named else ():
        if number in BROKER and use_app_broker:
            raise BenchError(
                f"fault {number} hurts the broker, which is your own: leave out --use-app-broker"
            )
        if number not in known:
            choices = ", ".join(map(str, known))
            raise BenchError(f"fault {number} does not apply to an app of your own: choose from {choices}")
    return [_applied(FAULTS[number]) for number in known if not numbers or number in numbers]


def _applied(fault: Fault) -> Fault:
    queued = [each.drain_s for side, each in fault.expected.items() if side.startswith("celery")]
    expected = {CELERY_APP: _unpredicted(max(queued), OUR_BROKER if fault.number in BROKER else "")}
    if fault.number in BOTH_SIDES:
        expected["inprocess"] = _unpredicted(fault.expected["inprocess"].drain_s)
    return replace(fault, expected=expected, check=recorded_facts, fault_jobs=False, owners=0)


def _unpredicted(drain_s: float, note: str = "") -> Expected:
    return Expected(text="", holds=_always, drain_s=drain_s, note=note)


def _always(_row: Row) -> bool:
    return True
