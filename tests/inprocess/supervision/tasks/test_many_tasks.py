"""await_many, yield_many, and the input of a stream's task that exits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from inprocess import Exited, Ok, Runtime, TaskSupervisor, await_many, yield_many
from inprocess.testing import FakeClock, settle


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fail(text: str) -> int:
    await asyncio.sleep(0)
    raise ValueError(text)


async def forever() -> int:
    await asyncio.Event().wait()
    return 0


def run(test: Callable[[TaskSupervisor, FakeClock], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with TaskSupervisor.start(clock=clock) as tasks:
            await test(tasks, clock)

    asyncio.run(main())


def test_await_many_returns_the_results_in_the_order_of_the_tasks() -> None:
    async def test(tasks: TaskSupervisor, _clock: FakeClock) -> None:
        many = [tasks.async_(double, number) for number in (3, 1, 2)]
        assert await await_many(many) == [6, 2, 4]
        assert await await_many(many, timeout=math.inf) == [6, 2, 4]
        assert await await_many([many[0], many[0]]) == [6, 6]
        assert await await_many([]) == []

    run(test)


def test_await_many_raises_the_first_error_at_once() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        waits = tasks.async_nolink(forever)
        with pytest.raises(ValueError, match="oh"):
            await await_many([waits, tasks.async_(fail, "oh"), tasks.async_(double, 1)])
        assert not waits.done
        assert clock.pending == 0

    run(test)


def test_await_many_ends_its_linked_tasks_if_its_timeout_ends_their_caller() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        async def caller() -> None:
            await await_many([tasks.async_(double, 1), tasks.async_(forever)], timeout=2.0)

        calling = asyncio.ensure_future(caller())
        free = tasks.async_nolink(forever)
        await clock.advance(1.9)
        assert (calling.done(), tasks.count) == (False, 2)
        await clock.advance(0.1)
        with pytest.raises(TimeoutError, match="1 of 2 tasks did not end within 2 s, forever is one"):
            await calling
        await settle()
        assert (tasks.count, free.done) == (1, False)

    run(test)


def test_yield_many_returns_what_there_is_after_its_time() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        done, fails, waits = tasks.async_(double, 1), tasks.async_(fail, "oh"), tasks.async_(forever)
        yielding = asyncio.ensure_future(yield_many([done, fails, waits]))
        await clock.advance(4.9)
        assert not yielding.done()
        await clock.advance(0.1)
        outcomes = await yielding
        assert [task for task, _ in outcomes] == [done, fails, waits]
        assert outcomes[0][1] == Ok(2)
        assert isinstance(outcomes[1][1], Exited)
        assert outcomes[2][1] is None
        assert not waits.done
        assert await waits.shutdown() is None

    run(test)


def test_yield_many_returns_early_when_enough_have_ended_and_touches_no_other() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        many = [tasks.async_nolink(forever), tasks.async_nolink(double, 4)]
        assert [o for _, o in await yield_many(many, limit=1, on_timeout="kill_task")] == [None, Ok(8)]
        assert tasks.count == 1
        assert await yield_many([], limit=3) == []
        assert clock.pending == 0

    run(test)


@pytest.mark.parametrize(("on_timeout", "left"), [("nothing", 1), ("ignore", 1), ("kill_task", 0)])
def test_yield_many_leaves_ignores_or_kills_what_is_late(on_timeout: str, left: int) -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        async def caller() -> None:
            late = tasks.async_(forever)
            yielding = asyncio.ensure_future(
                yield_many([late, tasks.async_(double, 1)], timeout=1.0, on_timeout=on_timeout)  # type: ignore[arg-type]  # one of them
            )
            await clock.advance(1.0)
            assert [outcome for _, outcome in await yielding] == [None, Ok(2)]
            assert tasks.count == left
            raise ValueError("the caller ends")

        with pytest.raises(ValueError, match="the caller ends"):
            await asyncio.ensure_future(caller())
        await settle()
        assert tasks.count == (1 if on_timeout == "ignore" else 0)  # the link ended the others

    run(test)


def test_yield_many_refuses_options_that_mean_nothing() -> None:
    async def test(tasks: TaskSupervisor, _clock: FakeClock) -> None:
        task = tasks.async_nolink(double, 1)
        with pytest.raises(ValueError, match="limit is 0"):
            await yield_many([task], limit=0)
        with pytest.raises(ValueError, match="on_timeout is 'kill'"):
            await yield_many([task], on_timeout="kill")  # type: ignore[arg-type]  # that is the case
        await task

    run(test)


def test_tasks_of_another_loop_are_waited_for_there() -> None:
    async def main() -> None:
        async with TaskSupervisor.start() as here:
            many = [elsewhere.async_nolink(double, number) for number in (1, 2)]
            assert await await_many(many) == [2, 4]
            assert [outcome for _, outcome in await yield_many(many)] == [Ok(2), Ok(4)]
            assert await many[0].poll() == Ok(2)
            with pytest.raises(ValueError, match="2 event loops"):
                await await_many([*many, here.async_(double, 3)])

    with Runtime() as runtime:
        elsewhere = runtime.call(TaskSupervisor.start)
        asyncio.run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_gives_each_exit_its_input_where_that_is_asked_for(ordered: bool) -> None:  # noqa: FBT001 - a parameter
    async def test(tasks: TaskSupervisor, _clock: FakeClock) -> None:
        async def half(number: int) -> int:
            await asyncio.sleep(0)
            if number % 2:
                raise ValueError(number)
            return number // 2

        for is_zipped in (True, False):
            stream = tasks.async_stream_nolink(half, range(4), ordered=ordered, zip_input_on_exit=is_zipped)
            outcomes = [outcome async for outcome in stream]
            exits = [outcome for outcome in outcomes if isinstance(outcome, Exited)]
            assert sorted(outcome.value for outcome in outcomes if isinstance(outcome, Ok)) == [0, 1]
            assert sorted(str(exited.exit) for exited in exits) == ["ValueError(1)", "ValueError(3)"]
            assert {exited.input for exited in exits} == ({1, 3} if is_zipped else {None})

    run(test)


def test_a_task_that_takes_too_long_has_its_input_too() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        async def wait(_key: str) -> int:
            return await forever()

        async def consume() -> list[Ok[int] | Exited]:
            stream = tasks.async_stream(
                wait, ["slow"], timeout=1.0, on_timeout="kill_task", zip_input_on_exit=True
            )
            return [outcome async for outcome in stream]

        consuming = asyncio.ensure_future(consume())
        await clock.advance(1.0)
        (exited,) = await consuming
        assert isinstance(exited, Exited)
        assert exited.input == "slow"
        assert isinstance(exited.exit.error, TimeoutError)

    run(test)
