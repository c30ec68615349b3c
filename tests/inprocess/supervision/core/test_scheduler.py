from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inprocess.supervision.core.clock import Timer
from inprocess.supervision.core.scheduler import SLICE_S, STALE_ENTRIES, Scheduler, scheduler_of
from inprocess.testing import FakeClock

T0 = 1000.0


def on_a_loop(test: Callable[[Scheduler, FakeClock], Any]) -> None:
    async def main() -> None:
        clock = FakeClock(T0)
        done = test(scheduler_of(asyncio.get_running_loop(), clock), clock)
        if done is not None:
            await done

    asyncio.run(main())


def hold(seconds: float) -> None:
    """Keep the loop for so long, as a greedy step does."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class Note:
    """An entry that waits for the moment it was armed for last, and notes each that it served."""

    def __init__(self, scheduler: Scheduler, served: list[tuple[float, int]], number: int) -> None:
        self.scheduler, self.served, self.number = scheduler, served, number
        self.when: float | None = None

    def arm(self, when: float) -> None:
        self.disarm()
        self.when = when
        self.scheduler.at(when, self)

    def disarm(self) -> None:
        if self.when is not None:
            self.when = None
            self.scheduler.forget()

    def fire(self, when: float, /) -> bool:
        if when != self.when:
            return False
        self.when = None
        self.served.append((when, self.number))
        return True

    def awaits(self, when: float, /) -> bool:
        return when == self.when


def test_steps_are_called_in_the_next_turn_in_the_order_they_came() -> None:
    async def main() -> None:
        scheduler, seen = scheduler_of(asyncio.get_running_loop()), list[int]()
        for number in range(5):
            scheduler.soon(partial(seen.append, number))
        assert seen == []
        await asyncio.sleep(0)
        assert seen == [0, 1, 2, 3, 4]

    asyncio.run(main())


def test_a_step_that_queues_itself_again_lets_the_loop_have_its_turn() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        scheduler, seen = scheduler_of(loop), list[str]()

        def again() -> None:
            seen.append("step")
            if len(seen) < 6:
                scheduler.soon(again)

        scheduler.soon(again)
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append("loop")
        assert seen == ["step", "loop", "step", "loop", "step", "loop"]

    asyncio.run(main())


def test_one_callback_serves_steps_for_a_slice_and_leaves_the_rest_to_the_next_turn() -> None:
    async def main() -> None:
        scheduler, seen = scheduler_of(asyncio.get_running_loop()), list[int]()

        def greedy(number: int) -> None:
            seen.append(number)
            hold(SLICE_S)

        for number in range(3):
            scheduler.soon(partial(greedy, number))
        turns = 0
        while len(seen) < 3:
            await asyncio.sleep(0)
            turns += 1
            assert len(seen) <= turns
        assert seen == [0, 1, 2]

    asyncio.run(main())


def test_timers_too_are_served_for_a_slice_a_turn() -> None:
    async def main() -> None:
        scheduler, seen = scheduler_of(asyncio.get_running_loop()), list[str]()
        done = asyncio.Event()

        def first() -> None:
            hold(SLICE_S)
            seen.append("first")
            asyncio.get_running_loop().call_soon(seen.append, "the loop's own")

        def second() -> None:
            seen.append("second")
            done.set()

        scheduler.call_later(0, first)
        scheduler.call_later(0, second)
        await done.wait()
        assert seen == ["first", "the loop's own", "second"]

    asyncio.run(main())


def test_a_step_and_a_timer_that_fail_are_logged_and_stop_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        scheduler, seen = scheduler_of(asyncio.get_running_loop()), list[int]()
        done = asyncio.Event()
        scheduler.soon(lambda: 1 / 0)
        scheduler.soon(partial(seen.append, 1))
        scheduler.call_later(0, lambda: dict[int, int]()[0])
        scheduler.call_later(0, done.set)
        await done.wait()
        assert seen == [1]

    asyncio.run(main())
    assert "ZeroDivisionError" in caplog.text
    assert "KeyError" in caplog.text


def test_entries_of_one_moment_fire_in_the_order_they_came() -> None:
    async def test(scheduler: Scheduler, clock: FakeClock) -> None:
        seen: list[int] = []
        for number in range(5):
            scheduler.call_later(1.0, partial(seen.append, number))
        await clock.advance(1.0)
        assert seen == [0, 1, 2, 3, 4]

    on_a_loop(test)


def test_the_loop_holds_one_timer_however_many_entries_wait() -> None:
    async def test(scheduler: Scheduler, clock: FakeClock) -> None:
        for number in range(100):
            scheduler.call_later(100.0 - number, lambda: None)
        assert (clock.pending, scheduler.armed) == (1, 100)
        await clock.advance(50.0)
        assert (clock.pending, scheduler.armed) == (1, 50)
        await clock.advance(50.0)
        assert (clock.pending, scheduler.armed) == (0, 0)

    on_a_loop(test)


def test_a_moment_that_has_passed_is_served_at_once() -> None:
    async def test(scheduler: Scheduler, clock: FakeClock) -> None:
        seen: list[int] = []
        scheduler.call_later(-5.0, partial(seen.append, 1))
        await clock.advance(0.0)
        assert seen == [1]

    on_a_loop(test)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_no_timer_fires_before_its_moment(kind: str) -> None:
    new_loop = asyncio.new_event_loop if kind == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    async def main() -> None:
        scheduler, fired = scheduler_of(asyncio.get_running_loop()), list[float]()
        done = asyncio.Event()
        now = scheduler.monotonic()
        moments = [now + 0.0107 * number for number in range(1, 11)]

        def note(when: float) -> None:
            fired.append(scheduler.monotonic() - when)
            if len(fired) == len(moments):
                done.set()

        for when in moments:
            scheduler.call_later(when - scheduler.monotonic(), partial(note, when))
        await done.wait()
        assert min(fired) > -1e-4

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


def test_an_entry_that_is_armed_while_timers_fire_is_served_too() -> None:
    async def test(scheduler: Scheduler, clock: FakeClock) -> None:
        seen: list[float] = []

        def tick() -> None:
            seen.append(clock.now - T0)
            if len(seen) < 4:
                scheduler.call_later(1.0, tick)

        tick()
        await clock.advance(3.0)
        assert seen == [0.0, 1.0, 2.0, 3.0]

    on_a_loop(test)


def test_cancelled_timers_do_not_pile_up_before_their_moment() -> None:
    def test(scheduler: Scheduler, _clock: FakeClock) -> None:
        keep = scheduler.call_later(5.0, lambda: None)
        for _ in range(10 * STALE_ENTRIES):
            scheduler.call_later(1e6, lambda: None).cancel()
        assert len(scheduler._moments) < 2 * STALE_ENTRIES + 2
        assert scheduler.armed == 1
        keep.cancel()
        assert scheduler.armed == 0

    on_a_loop(test)


def test_the_last_cancellation_takes_the_loops_timer_away() -> None:
    def test(scheduler: Scheduler, clock: FakeClock) -> None:
        timers: list[Timer] = [scheduler.call_later(float(k), lambda: None) for k in range(3)]
        for timer in timers:
            timer.cancel()
            timer.cancel()
        assert (clock.pending, scheduler.armed) == (0, 0)

    on_a_loop(test)


def test_each_clock_of_a_loop_has_a_scheduler_of_its_own() -> None:
    async def main() -> None:
        loop, clock = asyncio.get_running_loop(), FakeClock()
        assert scheduler_of(loop) is scheduler_of(loop)
        assert scheduler_of(loop, clock) is scheduler_of(loop, clock)
        assert scheduler_of(loop) is not scheduler_of(loop, clock)

    asyncio.run(main())


class Heap(RuleBasedStateMachine):
    """Entries that are armed, armed anew and disarmed, and a clock that moves: against a sorted list."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock(T0)
        self.scheduler = Scheduler(self.loop, self.clock)
        self.served: list[tuple[float, int]] = []
        self.notes = [Note(self.scheduler, self.served, number) for number in range(6)]
        self.expected: list[tuple[float, int]] = []
        self.order = 0
        self.waiting: dict[int, tuple[float, int]] = {}  # by number: moment and order of arming

    @rule(number=st.integers(0, 5), steps=st.integers(-1, 6))
    def arm(self, number: int, steps: int) -> None:
        when = self.clock.now + steps / 4
        self.order += 1
        already = self.waiting.get(number)
        again = already is not None and already[0] == when
        if not again:
            self.waiting[number] = (when, self.order)
            self.notes[number].arm(when)

    @rule(number=st.integers(0, 5))
    def disarm(self, number: int) -> None:
        self.waiting.pop(number, None)
        self.notes[number].disarm()

    @rule()
    def clear(self) -> None:
        self.scheduler._clear_stale()

    @rule(steps=st.integers(0, 8))
    def advance(self, steps: int) -> None:
        end = self.clock.now + steps / 4
        self.loop.run_until_complete(self.clock.advance(steps / 4))
        due = sorted((when, order, number) for number, (when, order) in self.waiting.items() if when <= end)
        for when, _order, number in due:
            del self.waiting[number]
            self.expected.append((when, number))

    @invariant()
    def everything_due_was_served_in_order_and_nothing_else(self) -> None:
        assert [when for when, _ in self.served] == [when for when, _ in self.expected]
        assert sorted(self.served) == sorted(self.expected)
        assert self.scheduler.armed == len(self.waiting)
        assert [note.number for note in self.notes if note.when is not None] == sorted(self.waiting)

    @invariant()
    def the_loop_is_woken_for_the_earliest(self) -> None:
        assert self.clock.pending <= 1
        if self.waiting:
            assert self.scheduler._armed_for <= min(when for when, _ in self.waiting.values())
            assert self.clock.pending == 1

    def teardown(self) -> None:
        self.loop.close()


TestHeap = Heap.TestCase
TestHeap.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
