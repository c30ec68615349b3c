"""What `make celery-suite` reads from pytest, and when a side is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.celery_suite.outcome import IN_PROCESS_CANNOT, Outcome, is_enough, read

CANNOT = next(iter(IN_PROCESS_CANNOT))
CAN = "test_canvas.py::test_chord::test_simple"


def outcome(passed: int, *failed: str) -> Outcome:
    return Outcome("", passed, frozenset(failed))


@pytest.mark.parametrize(
    ("ours", "redis", "enough"),
    [
        (outcome(10), outcome(10), True),
        (outcome(9, CANNOT), outcome(10), True),
        (outcome(9, CAN), outcome(10), False),
        (outcome(9, CAN), outcome(9, CAN), True),
        (outcome(9), outcome(10), False),  # one did not even run
        (outcome(8, CANNOT), outcome(9, CANNOT), False),  # Redis failed it too: nothing to leave out
        (outcome(0), outcome(0), True),
    ],
)
def test_in_process_passes_no_fewer_than_redis_of_what_can_apply(
    ours: Outcome, redis: Outcome, *, enough: bool
) -> None:
    assert is_enough("in-process", ours, redis) is enough


def test_the_closing_line_counts_unexpected_passes_and_no_subtests(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        f"FAILED t/integration/{CAN} - assert 1 == 2\n"
        "1 failed, 20 passed, 3 skipped, 5 xpassed, 7 subtests passed in 66.69s (0:01:06)\n"
    )
    found = read(log)
    assert (found.passed, found.failed) == (25, frozenset({CAN}))
    assert found.closing.startswith("1 failed, 20 passed")


def test_a_suite_that_was_killed_says_where_its_log_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("....F..")
    assert read(log) == Outcome(f"did not end by itself: see {log}", 0, frozenset())
