"""Chains, groups, chords and chunks; Celery's own integration suite does more (`make celery-suite`)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from celery import Task, chain, chord, group
from celery.exceptions import ChordError

from inprocess.celery import InProcess

Got = Callable[[Any], Any]
Make = Callable[..., Any]


@pytest.fixture
def add(make: Make) -> Any:
    """A task that adds two numbers."""
    return make(lambda x, y: x + y, name="add")


@pytest.fixture
def total(make: Make) -> Any:
    """A task that adds up a list."""
    return make(sum_of, name="total")


def sum_of(numbers: list[int]) -> int:
    return sum(numbers)


pytestmark = pytest.mark.usefixtures("run")


def test_a_chain_hands_each_result_on(add: Any, got: Got) -> None:
    result: Any = chain(add.s(1, 2), add.s(3), add.s(4)).delay()
    assert got(result) == 10
    assert result.parent.get() == 6


def test_a_group_gives_its_results_in_order(add: Any, got: Got) -> None:
    assert got(group(add.s(i, i) for i in range(20)).delay()) == [2 * i for i in range(20)]


def test_a_chord_sends_its_body_once_with_all_results(add: Any, total: Any, got: Got) -> None:
    assert got(chord((add.s(i, 1) for i in range(30)), total.s()).delay()) == sum(range(1, 31))


def test_a_chord_with_a_failed_part_fails_its_body(add: Any, total: Any, make: Make) -> None:
    def fail() -> None:
        raise ValueError("part")

    bad = make(fail, name="bad")
    with pytest.raises(ChordError, match=r"ValueError\('part'\)"):
        chord([add.s(1, 1), bad.s()], total.s()).delay().get(timeout=20.0, follow_parents=False)


def test_a_group_upgraded_to_a_chord_in_a_chain(add: Any, total: Any, got: Got) -> None:
    assert got((group(add.s(1, 1), add.s(2, 2)) | total.s() | add.s(100)).delay()) == 106


def test_chunks_are_run_in_pieces(add: Any, got: Got) -> None:
    assert got(add.chunks(zip(range(6), range(6), strict=True), 2)()) == [[0, 2], [4, 6], [8, 10]]


def test_a_task_may_replace_itself(app: Any, add: Any, got: Got) -> None:
    @app.task(bind=True)
    def instead(self: Any, x: int) -> None:
        raise self.replace(chain(add.s(x, 1), add.s(1)))

    assert got(instead.delay(5)) == 7


def test_a_part_that_returns_twice_counts_once(
    run: InProcess, app: Any, add: Any, total: Any, got: Got
) -> None:
    sent: list[Any] = []

    @app.task(bind=True, acks_late=True)
    def twice(self: Any) -> int:
        if self.request.chord and not self.request.delivery_info["redelivered"]:
            sent.append(self.request.id)
            self.backend.on_chord_part_return(self.request, "SUCCESS", 1)
        return 1

    assert got(chord([twice.s(), add.s(1, 1)], total.s()).delay()) == 3
    assert len(sent) == 1
    assert run.broker.waiting() == []


def test_parts_that_return_again_after_the_body_was_sent_send_it_no_second_time(
    app: Any, add: Any, got: Got
) -> None:
    requests: list[Any] = []
    sums: list[int] = []

    @app.task(bind=True)
    def part(self: Any) -> int:
        requests.append(copy.copy(self.request))
        return 1

    class Counted(Task[Any, Any]):
        def apply_async(self, *args: Any, **options: Any) -> Any:
            sums.append(1)
            return super().apply_async(*args, **options)

    body = app.task(sum_of, name="body", base=Counted)
    assert got(chord([part.s(), part.s()], body.s()).delay()) == 2
    for request in requests:
        app.backend.on_chord_part_return(request, "SUCCESS", 1)
    assert got(add.delay(1, 1)) == 2
    assert sums == [1]
