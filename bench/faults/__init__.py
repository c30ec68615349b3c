"""The faults that a run can inject, one file each, numbered as in FAULTS.md."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import BenchError
from bench.faults import (
    always_raises,
    app_killed,
    broker_killed,
    broker_refuses,
    broker_silent,
    child_killed,
    deploy,
    outlives_visibility,
    unavailable_twice,
    worker_killed,
)
from bench.faults.fault import Fault

FAULTS: dict[int, Fault] = {
    fault.number: fault
    for fault in (
        unavailable_twice.FAULT,
        always_raises.FAULT,
        app_killed.FAULT,
        child_killed.FAULT,
        worker_killed.FAULT,
        deploy.FAULT,
        broker_refuses.FAULT,
        broker_silent.FAULT,
        broker_killed.FAULT,
        outlives_visibility.FAULT,
    )
}


def chosen(numbers: Sequence[int]) -> list[Fault]:
    """The faults of these numbers, all of them for none; raise BenchError for an unknown one."""
    for number in numbers:
        if number not in FAULTS:
            known = ", ".join(map(str, FAULTS))
            raise BenchError(f"no fault has the number {number}: choose from {known} (bench list faults)")
    return [fault for fault in FAULTS.values() if not numbers or fault.number in numbers]
