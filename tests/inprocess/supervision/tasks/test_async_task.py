from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess import Exit, GenServer, Refused, Shutdown, TaskSupervisor
from inprocess.supervision.core.errors import TaskExitError, TaskRefusedError
from inprocess.supervision.tasks.async_task import AsyncTask, Exited, Ok
from inprocess.testing import FakeClock, settle


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


class Gate:
    """Work that waits for the test to say how it ends."""

    def __init__(self) -> None:
        self.attempts = 0
        self.cancelled = False
        self._outcome: asyncio.Future[int] | None = None

    async def __call__(self) -> int:
        self.attempts += 1
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            return await self._outcome
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def end(self, outcome: int | Exception) -> None:
        await settle()
        assert self._outcome is not None
        if isinstance(outcome, Exception):
            self._outcome.set_exception(outcome)
        else:
            self._outcome.set_result(outcome)
        await settle()


async def double(number: int) -> int:
    return 2 * number


def test_an_awaited_task_gives_its_result_as_often_as_it_is_asked() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            task = supervisor.async_(double, 21)
            assert (await task, await task, task.done, supervisor.count) == (42, 42, True, 0)
            assert await supervisor.async_nolink(threading.get_ident) != threading.get_ident()

    run(test)


def test_several_tasks_run_at_once_and_gather_collects_them() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            assert await asyncio.gather(*(supervisor.async_(double, n) for n in range(5))) == [0, 2, 4, 6, 8]

    run(test)


@pytest.mark.parametrize("start", [TaskSupervisor.async_, TaskSupervisor.async_nolink])
def test_the_crash_of_an_awaited_task_is_raised_where_it_is_awaited(
    start: Callable[..., AsyncTask[int]], caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            gate = Gate()
            task = start(supervisor, gate, name="sums")
            awaiting = asyncio.ensure_future(task)
            await gate.end(ValueError("no"))
            with pytest.raises(ValueError, match="no"):
                await awaiting
            assert gate.attempts == 1

    run(test)
    assert "sums: Gate() under TaskSupervisor crashed in attempt 1: ValueError('no')" in caplog.text


def test_the_crash_of_a_linked_task_that_nobody_awaits_cancels_its_caller() -> None:
    async def test() -> None:
        gate = Gate()

        async def call(supervisor: TaskSupervisor) -> None:
            supervisor.async_(gate, name="sums")
            await asyncio.get_running_loop().create_future()

        async with TaskSupervisor.start() as supervisor:
            caller = asyncio.ensure_future(call(supervisor))
            await gate.end(ValueError("no"))
            with pytest.raises(asyncio.CancelledError, match="the linked task sums ended: ValueError"):
                await caller

    run(test)


def test_a_transient_caller_whose_task_crashes_is_started_again() -> None:
    async def test() -> None:
        gate, attempts = Gate(), []

        async def call(supervisor: TaskSupervisor) -> None:
            attempts.append(1)
            if len(attempts) == 1:
                supervisor.async_(gate)
                await asyncio.get_running_loop().create_future()

        async with TaskSupervisor.start() as supervisor:
            supervisor.start_child(call, supervisor, restart="transient")
            await gate.end(ValueError("no"))
            assert (len(attempts), supervisor.count) == (2, 0)

    run(test)


def test_the_crash_of_an_unlinked_task_leaves_its_caller_alone() -> None:
    async def test() -> None:
        gate = Gate()
        async with TaskSupervisor.start() as supervisor:
            task = supervisor.async_nolink(gate)
            await gate.end(ValueError("no"))
            assert task.done

    run(test)


@pytest.mark.parametrize("ends_by", ["cancellation", "crash"])
def test_the_end_of_a_caller_ends_its_linked_task_and_not_its_unlinked_one(ends_by: str) -> None:
    async def test() -> None:
        linked, unlinked = Gate(), Gate()

        async def call(supervisor: TaskSupervisor, gate: asyncio.Event) -> None:
            supervisor.async_(linked)
            supervisor.async_nolink(unlinked)
            await gate.wait()
            raise ValueError

        async with TaskSupervisor.start() as supervisor:
            gate = asyncio.Event()
            caller = asyncio.ensure_future(call(supervisor, gate))
            await settle()
            assert (linked.attempts, unlinked.attempts) == (1, 1)
            (caller.cancel if ends_by == "cancellation" else gate.set)()
            await settle()
            assert (linked.cancelled, unlinked.cancelled, supervisor.count) == (True, False, 1)
            assert isinstance(caller.exception() if ends_by == "crash" else None, ValueError | None)

    run(test)


def test_a_caller_that_ends_well_leaves_its_task_and_hands_on_the_handle() -> None:
    async def test() -> None:
        gate = Gate()

        async def call(supervisor: TaskSupervisor) -> AsyncTask[int]:
            return supervisor.async_(gate)

        async with TaskSupervisor.start() as supervisor:
            task = await asyncio.create_task(call(supervisor))
            await gate.end(7)
            assert await task == 7

    run(test)


def test_a_task_that_is_terminated_tells_who_awaits_it_so() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            task = supervisor.async_nolink(Gate(), name="sums")
            awaiting = asyncio.ensure_future(task)
            await settle()
            assert await supervisor.terminate_child(task.child)
            with pytest.raises(TaskExitError, match="sums ended without a result: shutdown"):
                await awaiting

    run(test)


def test_a_time_limit_around_await_ends_the_wait_and_not_the_task() -> None:
    async def test() -> None:
        gate = Gate()
        async with TaskSupervisor.start() as supervisor:
            task = supervisor.async_(gate)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await task
            await gate.end(7)
            assert await task == 7

    run(test)


def test_poll_returns_what_a_task_came_to_and_none_where_it_goes_on() -> None:
    async def test() -> None:
        clock, gate = FakeClock(), Gate()

        async def stops() -> None:
            raise Shutdown("full")

        async with TaskSupervisor.start(clock=clock) as supervisor:
            task = supervisor.async_(gate)
            polling = asyncio.ensure_future(task.poll())
            await clock.advance(4.9)
            assert not polling.done()
            await clock.advance(0.2)
            assert await polling is None
            await gate.end(7)
            assert await task.poll() == Ok(7)
            outcome = await supervisor.async_nolink(stops).poll()
            assert isinstance(outcome, Exited)
            assert (str(outcome.exit), clock.pending) == ("shutdown: full", 0)

    run(test)


def test_shutdown_unlinks_and_ends_a_task_or_returns_what_it_came_to() -> None:
    async def test() -> None:
        gate = Gate()
        async with TaskSupervisor.start() as supervisor:
            task = supervisor.async_(gate)
            await settle()
            assert (await task.shutdown(), gate.cancelled, supervisor.count) == (None, True, 0)
            done = supervisor.async_(double, 1)
            await settle()
            assert await done.shutdown() == Ok(2)

    run(test)  # and the caller, this task, is not cancelled


def test_past_max_children_and_while_draining_a_task_is_refused_with_an_error() -> None:
    async def test() -> None:
        gate = Gate()
        async with TaskSupervisor.start(name="small", max_children=1) as supervisor:
            supervisor.async_(gate)
            with pytest.raises(TaskRefusedError, match="small has 1 children") as caught:
                supervisor.async_(double, 1)
            assert caught.value.refused.reason == "max_children"
            await gate.end(1)
            supervisor.quiet()
            with pytest.raises(TaskRefusedError, match="small is draining"):
                supervisor.async_nolink(double, 1)

    run(test)


def test_a_thread_uses_an_unlinked_task_and_waits_for_its_result() -> None:
    def work(supervisor: TaskSupervisor) -> tuple[int, str]:
        with pytest.raises(RuntimeError, match="use async_nolink"):
            supervisor.async_(double, 1)
        with pytest.raises(TimeoutError, match="it goes on"):
            supervisor.async_nolink(Gate(), name="slow").result_in_thread(0.01)
        try:
            supervisor.async_nolink(double, None).result_in_thread()  # type: ignore[arg-type]  # the point
        except TypeError as error:
            return supervisor.async_nolink(double, 4).result_in_thread(), str(error)
        raise AssertionError

    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            result, error = await asyncio.to_thread(work, supervisor)
            assert result == 8
            assert "unsupported operand" in error

    run(test)


def test_a_misspelt_isolation_or_limit_is_refused_at_once() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            with pytest.raises(
                ValueError, match="isolation is 'fibre': expected one of loop, thread, process"
            ):
                supervisor.async_(double, 1, isolation="fibre")  # type: ignore[call-overload]  # the point
            with pytest.raises(ValueError, match="shutdown is -1: expected seconds"):
                supervisor.start_child(double, 1, shutdown=-1)
            assert not isinstance(supervisor.start_child(double, 1, shutdown=0), Refused)
            await supervisor.idle()

    run(test)


async def crash(after: float | None = None) -> None:
    if after is not None:
        await asyncio.sleep(after)
    raise ValueError("mine")


@pytest.mark.parametrize("after", [None, 0.0, 0.01])
@pytest.mark.parametrize("how", ["gather", "wait_for", "shield"])
def test_what_awaits_linked_tasks_raises_the_error_of_the_one_that_crashes(
    how: str, after: float | None
) -> None:
    async def caller(tasks: TaskSupervisor) -> None:
        if how == "gather":
            await asyncio.gather(tasks.async_(asyncio.sleep, 1), tasks.async_(crash, after))
        elif how == "wait_for":
            await asyncio.wait_for(tasks.async_(crash, after), 5)
        else:
            await asyncio.shield(asyncio.ensure_future(tasks.async_(crash, after)))

    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            calling = asyncio.create_task(caller(tasks))
            await asyncio.wait([calling], timeout=5)
            assert isinstance(calling.exception(), ValueError)

    asyncio.run(main())


class Asks(GenServer):
    """Starts a linked task when it is cast one; otherwise works for a while."""

    def init(self, tasks: TaskSupervisor, *, plain: bool) -> None:
        self.tasks, self.plain = tasks, plain

    def handle_cast(self, message: Any, /) -> Any:
        if message == "work":
            return asyncio.sleep(0.05)
        if self.plain:
            self.task = self.tasks.async_(*message)
            return None
        return self.ask(message)

    async def ask(self, message: Any) -> None:
        self.task = self.tasks.async_(*message)


@pytest.mark.parametrize("plain", [False, True])
def test_a_task_that_a_server_starts_is_linked_to_the_server_whatever_messages_wait(*, plain: bool) -> None:
    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            idle, busy, asked = (Asks.start(tasks, plain=plain) for _ in range(3))
            idle.cast((crash, 0.02))
            busy.cast((crash, 0.02))
            busy.cast("work")
            asked.cast((asyncio.sleep, 60))
            await settle()
            await idle.wait()
            await busy.wait()
            assert isinstance(idle.exit and idle.exit.error, ValueError)
            assert isinstance(busy.exit and busy.exit.error, ValueError)
            await asked.stop(reason=Exit("crash", KeyError("the server's own")))
            assert (await asked.task.child.wait()).kind == "shutdown"

    asyncio.run(main())
