from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess import TaskSupervisor, sleep
from inprocess.supervision.core.errors import TaskRefusedError
from inprocess.supervision.tasks.async_task import Exited, Ok
from inprocess.testing import FakeClock, settle

Outcomes = AsyncGenerator[Ok[Any] | Exited, None]


class Numbers:
    """Inputs from 0 on, without end, that count how many were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.taken += 1
            yield self.taken - 1


class Bench:
    """A function for streams whose runs the test ends one by one."""

    def __init__(self) -> None:
        self.gates: dict[int, asyncio.Future[None]] = {}
        self.cancelled: list[int] = []

    async def __call__(self, number: int) -> int:
        self.gates[number] = asyncio.get_running_loop().create_future()
        try:
            await self.gates[number]
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        return 10 * number

    async def finish(self, *numbers: int) -> None:
        await settle()
        for number in numbers:
            self.gates[number].set_result(None)
            await settle()


async def times_ten(number: int) -> int:
    await asyncio.sleep(0)
    return 10 * number


async def fail_at_2(number: int) -> int:
    if number == 2:
        raise ValueError("two")
    return number


def run(test: Callable[[TaskSupervisor, FakeClock], Awaitable[Any]]) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with TaskSupervisor.start(name="stream", clock=clock) as supervisor:
            await test(supervisor, clock)
            await settle()
            assert (supervisor.count, clock.pending) == (0, 0)

    asyncio.run(main())


def asked(stream: Outcomes) -> asyncio.Future[Ok[Any] | Exited]:
    return asyncio.ensure_future(anext(stream))


def test_outcomes_come_in_the_order_of_the_inputs() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        outcomes = [outcome async for outcome in supervisor.async_stream(times_ten, range(50))]
        assert outcomes == [Ok(10 * number) for number in range(50)]

    run(test)


def test_nothing_runs_before_it_is_asked_for_and_an_input_is_taken_only_when_a_slot_is_free() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        numbers, bench = Numbers(), Bench()
        async with aclosing(supervisor.async_stream(bench, numbers, max_concurrency=2)) as stream:
            await settle()
            assert numbers.taken == 0
            first = asked(stream)
            await settle()
            assert (numbers.taken, sorted(bench.gates)) == (2, [0, 1])
            await bench.finish(0)
            assert (await first, numbers.taken) == (Ok(0), 2)  # the slot waits for who asks
            second = asked(stream)
            await settle()
            assert (numbers.taken, sorted(bench.gates)) == (3, [0, 1, 2])
            await bench.finish(1)
            assert await second == Ok(10)
        assert bench.cancelled == [2]

    run(test)


def test_ordered_outcomes_are_held_back_and_their_slots_are_free() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        bench = Bench()
        stream = supervisor.async_stream(bench, range(4), max_concurrency=2)
        first = asked(stream)
        await bench.finish(1, 2, 3)
        assert not first.done()
        await bench.finish(0)
        assert [await first, *[outcome async for outcome in stream]] == [Ok(0), Ok(10), Ok(20), Ok(30)]

    run(test)


def test_unordered_outcomes_come_as_they_are() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        bench = Bench()
        stream = supervisor.async_stream(bench, range(3), max_concurrency=3, ordered=False)
        outcomes = asyncio.ensure_future(collect(stream))
        await bench.finish(2, 0, 1)
        assert await outcomes == [Ok(20), Ok(0), Ok(10)]

    run(test)


async def collect(stream: Outcomes) -> list[Ok[Any] | Exited]:
    return [outcome async for outcome in stream]


def test_a_task_that_takes_longer_than_5_s_from_its_own_start_ends_the_stream_and_the_others() -> None:
    async def test(supervisor: TaskSupervisor, clock: FakeClock) -> None:
        bench = Bench()
        outcomes = asyncio.ensure_future(collect(supervisor.async_stream(bench, range(9), max_concurrency=1)))
        await settle()
        await clock.advance(4.0)
        await bench.finish(0)
        await clock.advance(4.9)
        assert not outcomes.done()
        await clock.advance(0.2)
        with pytest.raises(TimeoutError, match=r"Bench\(1\) took longer than 5 s: give the stream more time"):
            await outcomes
        assert bench.cancelled == [1]

    run(test)


def test_kill_task_ends_the_slow_task_alone_and_its_outcome_says_so() -> None:
    async def test(supervisor: TaskSupervisor, clock: FakeClock) -> None:
        bench = Bench()
        stream = supervisor.async_stream(
            bench, range(3), max_concurrency=2, timeout=1.0, on_timeout="kill_task"
        )
        outcomes = asyncio.ensure_future(collect(stream))
        await bench.finish(1)
        await clock.advance(0.9)
        await bench.finish(2)
        await clock.advance(0.2)
        first, *others = await outcomes
        assert isinstance(first, Exited)
        assert isinstance(first.exit.error, TimeoutError)
        assert (others, bench.cancelled) == ([Ok(10), Ok(20)], [0])

    run(test)


def test_without_a_time_limit_a_task_may_take_for_ever() -> None:
    async def test(supervisor: TaskSupervisor, clock: FakeClock) -> None:
        bench = Bench()
        outcomes = asyncio.ensure_future(collect(supervisor.async_stream(bench, [0], timeout=math.inf)))
        await settle()
        await clock.advance(1e6)
        await bench.finish(0)
        assert await outcomes == [Ok(0)]

    run(test)


def test_a_crash_ends_a_linked_stream_with_its_error_and_takes_the_other_tasks_along() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        with pytest.raises(ValueError, match="two"):
            await collect(supervisor.async_stream(fail_at_2, Numbers(), max_concurrency=1))

    run(test)


def test_a_crash_is_an_outcome_of_an_unlinked_stream() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        outcomes = await collect(supervisor.async_stream_nolink(fail_at_2, range(4)))
        crashed = outcomes.pop(2)
        assert isinstance(crashed, Exited)
        assert (repr(crashed.exit.error), outcomes) == ("ValueError('two')", [Ok(0), Ok(1), Ok(3)])

    run(test)


def test_leaving_the_loop_early_ends_the_tasks() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        bench = Bench()
        first = asyncio.ensure_future(take_one(supervisor.async_stream(bench, Numbers(), max_concurrency=3)))
        await bench.finish(0)
        assert await first == Ok(0)
        await settle()
        assert sorted(bench.cancelled) == [1, 2]

    run(test)


async def take_one(stream: Outcomes) -> Ok[Any] | Exited:
    async for outcome in stream:
        return outcome
    raise AssertionError


def test_the_end_of_who_iterates_ends_the_tasks() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        bench = Bench()
        caller = asyncio.ensure_future(collect(supervisor.async_stream(bench, Numbers(), max_concurrency=2)))
        await settle()
        caller.cancel()
        await settle()
        assert (caller.cancelled(), sorted(bench.cancelled)) == (True, [0, 1])

    run(test)


def test_inputs_may_come_one_by_one_and_do_not_hold_back_outcomes() -> None:
    async def test(supervisor: TaskSupervisor, clock: FakeClock) -> None:
        async def slowly() -> AsyncIterator[int]:
            for number in range(3):
                yield number
                await sleep(clock, 60.0)

        stream = supervisor.async_stream(times_ten, slowly(), max_concurrency=2)
        assert await anext(stream) == Ok(0)
        rest = asyncio.ensure_future(collect(stream))
        await clock.advance(200.0)
        assert await rest == [Ok(10), Ok(20)]

    run(test)


def test_inputs_that_fail_end_the_stream_with_their_error() -> None:
    def broken() -> Iterator[int]:
        yield 0
        raise OSError("file is gone")

    async def later() -> AsyncIterator[int]:
        for number in broken():
            yield number

    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        with pytest.raises(OSError, match="file is gone"):
            await collect(supervisor.async_stream(times_ten, broken()))
        with pytest.raises(OSError, match="file is gone"):
            await collect(supervisor.async_stream(times_ten, later()))

    run(test)


def test_past_max_children_the_stream_raises() -> None:
    async def main() -> None:
        async with TaskSupervisor.start(name="small", max_children=2) as supervisor:
            with pytest.raises(TaskRefusedError, match="small has 2 children"):
                await collect(supervisor.async_stream(times_ten, range(5), max_concurrency=3))
            assert supervisor.count == 0

    asyncio.run(main())


def test_options_that_make_no_stream_are_refused_before_it_begins() -> None:
    async def test(supervisor: TaskSupervisor, _clock: FakeClock) -> None:
        with pytest.raises(ValueError, match="max_concurrency is 0"):
            supervisor.async_stream(times_ten, [1], max_concurrency=0)
        with pytest.raises(ValueError, match="on_timeout is 'kill'"):
            supervisor.async_stream(times_ten, [1], on_timeout="kill")  # type: ignore[arg-type]  # the point

    run(test)


@settings(max_examples=60, deadline=None)
@given(
    seconds=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0]), max_size=12),
    ordered=st.booleans(),
    at_once=st.integers(1, 5),
    pause=st.sampled_from([0.0, 0.7]),
)
def test_each_input_has_one_outcome_and_no_more_run_than_may(
    seconds: list[float], *, ordered: bool, at_once: int, pause: float
) -> None:
    """Inputs are how long their tasks take; those of 3 s are too slow by 0.5 s."""

    async def test(supervisor: TaskSupervisor, clock: FakeClock) -> None:
        running: set[int] = set()
        most: list[int] = [0]
        begun: list[int] = []

        async def work(number: int) -> int:
            begun.append(number)
            running.add(number)
            most.append(len(running))
            try:
                await sleep(clock, seconds[number])
            finally:
                running.discard(number)
            return number

        async def consume() -> list[Ok[Any] | Exited]:
            outcomes = []
            stream = supervisor.async_stream(
                work, range(len(seconds)), ordered=ordered, max_concurrency=at_once, timeout=2.5,
                on_timeout="kill_task",
            )  # fmt: skip
            async for outcome in stream:
                outcomes.append(outcome)
                await sleep(clock, pause)
            return outcomes

        consuming = asyncio.ensure_future(consume())
        await clock.advance(60.0)
        outcomes = await consuming
        returned = [outcome.value for outcome in outcomes if isinstance(outcome, Ok)]
        in_time = [number for number, length in enumerate(seconds) if length < 2.5]
        assert begun == list(range(len(seconds)))
        assert max(most) <= at_once
        assert (returned if ordered else sorted(returned)) == in_time
        assert len(outcomes) == len(seconds)
        if ordered:
            assert [isinstance(outcome, Ok) for outcome in outcomes] == [length < 2.5 for length in seconds]

    run(test)
