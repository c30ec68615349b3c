"""The faults that a run can inject, by number: every module here, or in a folder of it, that has a `FAULT`.

A fault knows the side that it strikes by a Protocol (`target`), so nothing here starts or imports one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence

from bench.errors import BenchError
from bench.faults.spec import Fault


def _found() -> Iterator[Fault]:
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        fault = getattr(importlib.import_module(module.name), "FAULT", None)
        if isinstance(fault, Fault):
            yield fault


FAULTS: dict[int, Fault] = {fault.number: fault for fault in sorted(_found(), key=lambda each: each.number)}


def select_faults(numbers: Sequence[int]) -> list[Fault]:
    """The faults of these numbers, all of them for none; raise BenchError for an unknown one."""
    for number in numbers:
        if number not in FAULTS:
            known = ", ".join(map(str, FAULTS))
            raise BenchError(
                f"no fault has the number {number}: choose from {known} (queue-or-task list faults)"
            )
    return [fault for fault in FAULTS.values() if not numbers or fault.number in numbers]
