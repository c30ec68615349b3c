"""The faults that can be made to tasks that are not ours: those of processes and of the broker.

docs/faults.md predicts nothing of an app that it does not know: such a strike is counted, not compared.
Faults of our services, of our jobs' oddities and of our own schedules do not apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.errors import BenchError
from bench.faults import FAULTS
from bench.faults.spec import Expected, Fault, Row, recorded_facts
from bench.own_app.sides import CELERY_APP

#: Killed processes, a deploy, a burst; the side without a queue has no more.
OF_BOTH = (10, 13, 31)
#: A killed child or worker, a worker that comes late.
OF_WORKERS = (11, 12, 24)
#: The broker refuses, is silent, half-open, slow, killed, restarted, full: on a broker of ours alone.
OF_BROKER = (16, 17, 18, 19, 20, 21, 22)
#: What the report says beside a fault of the broker.
OUR_BROKER = "the broker is ours and keeps no file"


def select_faults(numbers: Sequence[int], *, named: bool, use_app_broker: bool) -> list[Fault]:
    """The faults of these numbers that apply, all that apply for none.

    Raise BenchError for one that does not, where the command `named` it.
    """
    known = sorted((*OF_BOTH, *OF_WORKERS, *(() if use_app_broker else OF_BROKER)))
    for number in numbers if named else ():
        if number in OF_BROKER and use_app_broker:
            raise BenchError(
                f"fault {number} hurts the broker, which is your own: leave out --use-app-broker"
            )
        if number not in known:
            raise BenchError(
                f"fault {number} does not apply to an app of your own: choose from {_told(known)}"
            )
    return [_applied(FAULTS[number]) for number in known if not numbers or number in numbers]


def _told(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _applied(fault: Fault) -> Fault:
    queued = [each.drain_s for side, each in fault.expected.items() if side.startswith("celery")]
    expected = {CELERY_APP: _unknown(max(queued), OUR_BROKER if fault.number in OF_BROKER else "")}
    if fault.number in OF_BOTH:
        expected["inprocess"] = _unknown(fault.expected["inprocess"].drain_s)
    return replace(fault, expected=expected, check=recorded_facts, fault_jobs=False, owners=0)


def _unknown(drain_s: float, note: str = "") -> Expected:
    return Expected(text="", holds=_nothing_predicted, drain_s=drain_s, note=note)


def _nothing_predicted(_row: Row) -> bool:
    return True
