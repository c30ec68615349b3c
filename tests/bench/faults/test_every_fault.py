from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from bench import faults
from bench.cli.list_command import tables
from bench.errors import BenchError
from bench.faults import FAULTS, select_faults
from bench.plan.sides import SIDES

#: Faults of the broker, its workers and its result store: they mean nothing without a queue.
QUEUE_ONLY = {12, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 37, 39, 40, 47}
NUMBERS = list(range(1, 49))


def test_each_has_one_file_and_is_listed() -> None:
    assert list(FAULTS) == NUMBERS
    assert [int(number) for number, *_ in tables("faults")["faults"]] == NUMBERS
    assert len({fault.slug for fault in FAULTS.values()}) == len({f.title for f in FAULTS.values()})
    assert len({fault.slug for fault in FAULTS.values()}) == len(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_fault_expects_something_of_each_side_that_it_can_hit(number: int) -> None:
    fault = FAULTS[number]
    assert fault.expected.keys() <= SIDES.keys()
    assert ("inprocess" in fault.expected) == (number not in QUEUE_ONLY)
    assert "celery-hardened" in fault.expected
    assert all(expected.text for expected in fault.expected.values())


def test_each_module_tells_its_number_in_its_first_line() -> None:
    folder = Path(str(faults.__file__)).parent
    told = {}
    for file in folder.rglob("[a-z]*.py"):
        parts = file.relative_to(folder).with_suffix("").parts
        module = importlib.import_module(".".join(("bench.faults", *parts)))
        if (fault := getattr(module, "FAULT", None)) is not None:
            told[fault.number] = int(re.match(r"Fault (\d+):", module.__doc__ or "")[1])  # type: ignore[index]
    assert told == {number: number for number in FAULTS}


def test_an_unknown_number_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BenchError, match="no fault has the number 99: choose from 1, 2"):
        select_faults([99])
