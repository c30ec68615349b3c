"""A loop is judged by whether it runs: a closed, stopped or forked one is refused at once, and why."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Iterator

import pytest

from inprocess import (
    Caller,
    CallTimeoutError,
    Child,
    DynamicSupervisor,
    GenServer,
    LoopGoneError,
    Refused,
    Runtime,
    ServerDiedError,
    Supervisor,
    TaskSupervisor,
)
from inprocess.supervision.core import thread_bridge
from inprocess.supervision.core.scheduler import scheduler_of
from inprocess.supervision.lifecycle.runtime import on_loop
from tests.inprocess.programs import run_program

#: Far below the 5 s that a caller waits for a loop that is busy.
AT_ONCE_S = 2.0


class Echo(GenServer):
    def handle_call(self, request: object, _caller: Caller, /) -> object:
        return request


async def work() -> str:
    return "worked"


@pytest.fixture
def stopped() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that has run, on this thread, and is not closed."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


async def make() -> tuple[TaskSupervisor, Echo, Supervisor, DynamicSupervisor]:
    return TaskSupervisor.start(name="tasks"), Echo.start(), Supervisor.start(), DynamicSupervisor.start()


def test_what_lives_on_a_closed_loop_is_refused_from_another_loop_of_the_thread() -> None:
    made: list[tuple[TaskSupervisor, Echo, Supervisor, DynamicSupervisor]] = []

    async def first() -> None:
        made.append(await make())

    async def second() -> None:
        tasks, echo, supervisor, dynamic = made[0]
        for _ in range(3):  # not only the first time
            refused = tasks.start_child(work)
            assert isinstance(refused, Refused)
            assert refused.reason == "not_running"
            assert "closed" in refused.text
        with pytest.raises(ServerDiedError, match="closed"):
            await echo.call(1)
        with pytest.raises(ServerDiedError, match="closed"):
            await supervisor.terminate_child("a")
        with pytest.raises(ServerDiedError, match="closed"):
            await dynamic.start_child(None)  # type: ignore[arg-type]  # is not looked at
        with pytest.raises(LoopGoneError, match="closed"):
            await tasks.wait()
        echo.cast("nothing happens")
        await tasks.stop()  # nothing of it runs, which is what was asked for
        again = TaskSupervisor.start(name="tasks")
        child = again.start_child(work)
        assert isinstance(child, Child)
        assert (await child.wait()).kind == "normal"
        await again.stop()

    asyncio.run(first())
    asyncio.run(second())


def test_what_lives_on_a_loop_that_does_not_run_is_refused(stopped: asyncio.AbstractEventLoop) -> None:
    tasks, echo, *_rest = stopped.run_until_complete(make())

    async def elsewhere() -> None:
        refused = tasks.start_child(work)
        assert isinstance(refused, Refused)
        assert "does not run" in refused.text
        with pytest.raises(ServerDiedError, match="does not run"):
            await echo.call(1)
        with pytest.raises(LoopGoneError, match="does not run"):
            await tasks.stop()

    begun = time.monotonic()
    asyncio.run(elsewhere())
    with pytest.raises(ServerDiedError, match="does not run"):
        echo.call_from_thread(1)
    with pytest.raises(LoopGoneError, match="does not run"):
        on_loop(tasks.stop)
    assert time.monotonic() - begun < AT_ONCE_S
    assert tasks.children() == []
    stopped.run_until_complete(tasks.stop())


def test_a_failed_wake_up_leaves_neither_a_supervisor_nor_a_scheduler_silent(
    stopped: asyncio.AbstractEventLoop,
) -> None:
    async def schedule() -> None:
        scheduler = scheduler_of(asyncio.get_running_loop())
        broken, scheduler.loop = scheduler.loop, _Closed()  # type: ignore[assignment]  # has what is called
        with pytest.raises(RuntimeError):
            scheduler.soon(lambda: None)
        scheduler.loop = broken
        ran: list[int] = []
        scheduler.soon(lambda: ran.append(1))
        await asyncio.sleep(0.01)
        assert ran == [1]

    stopped.run_until_complete(schedule())


class _Closed:
    def call_soon(self, *_arguments: object, **_options: object) -> None:
        raise RuntimeError("Event loop is closed")


def test_a_child_is_awaited_from_another_loop() -> None:
    async def here(tasks: TaskSupervisor) -> None:
        child = tasks.start_child(asyncio.sleep, 0.05)
        assert isinstance(child, Child)
        assert (await child.wait()).kind == "normal"
        lasting = tasks.start_child(asyncio.sleep, 60)
        assert isinstance(lasting, Child)
        assert await tasks.terminate_child(lasting)
        await tasks.stop()

    with Runtime() as runtime:
        tasks = runtime.call(TaskSupervisor.start)
        asyncio.run(here(tasks))


def test_a_call_fails_when_the_servers_loop_ends_and_its_caller_lives_on() -> None:
    ended = run_program("""
        import asyncio, threading
        from inprocess import GenServer, Runtime, ServerDiedError

        class Silent(GenServer):
            async def handle_call(self, request, caller):
                await asyncio.get_running_loop().create_future()

        async def main(runtime, silent):
            ending = threading.Timer(0.05, runtime.stop)
            ending.start()
            try:
                await silent.call(1, timeout=30)
            except ServerDiedError:
                await asyncio.sleep(0)
                print("told, and not cancelled itself")
            ending.join()

        runtime = Runtime().start()
        asyncio.run(main(runtime, runtime.call(Silent.start)))
    """)
    assert ended.stdout == "told, and not cancelled itself\n", ended.stderr


@pytest.mark.parametrize("timeout", [0.2])
def test_a_call_keeps_its_timeout_although_the_servers_loop_is_blocked(timeout: float) -> None:
    class Blocking(Echo):
        def handle_cast(self, _message: object, /) -> None:
            free.wait(30)

    free = threading.Event()
    with Runtime() as runtime:
        blocking = runtime.call(Blocking.start)
        blocking.cast("block")
        begun = time.monotonic()
        with pytest.raises(CallTimeoutError):
            blocking.call_from_thread(1, timeout=timeout)
        with pytest.raises(CallTimeoutError):
            asyncio.run(blocking.call(1, timeout=timeout))
        assert time.monotonic() - begun < AT_ONCE_S
        free.set()
        assert blocking.call_from_thread(2, timeout=None) == 2
        runtime.call(blocking.stop)


def test_a_tree_made_before_a_fork_is_refused_in_the_fork_and_the_runtime_starts_anew() -> None:
    ended = run_program("""
        import os, threading, time, warnings
        from inprocess import GenServer, Refused, ServerDiedError, Task, TaskSupervisor, whereis
        from inprocess.supervision.lifecycle.runtime import on_loop

        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of a fork beside threads

        class Echo(GenServer):
            def handle_call(self, request, caller):
                return request

        tasks, echo = TaskSupervisor.start(name="tasks"), Echo.start()
        if os.fork() == 0:
            begun = time.monotonic()

            def ask():
                refused = tasks.start_child(print)
                assert refused.reason == "not_running" and "forked" in refused.text, refused
                for call in (lambda: echo.call_from_thread(1), lambda: on_loop(echo.stop)):
                    try:
                        call()
                    except (RuntimeError, ServerDiedError) as error:
                        assert "forked" in str(error), error
                echo.cast(1)

            ask()
            for _ in range(3):  # of which some get the id of the original's loop thread
                thread = threading.Thread(target=ask)
                thread.start()
                thread.join()
            assert whereis("tasks") is None
            done = threading.Event()
            Task.start(done.set)
            assert done.wait(10)
            again = TaskSupervisor.start(name="tasks")
            assert on_loop(again.start_child(lambda: None).wait).kind == "normal"
            assert time.monotonic() - begun < 10
            print("refused, and new ones work", flush=True)
            os._exit(0)
        os.wait()
        assert on_loop(tasks.start_child(lambda: None).wait).kind == "normal"
        print("the original goes on")
    """)
    assert ended.stdout == "refused, and new ones work\nthe original goes on\n", ended.stderr
    assert "a message to it is lost" in ended.stderr


class LateFuture(concurrent.futures.Future[int]):
    """One whose result comes after a look at it has timed out, and before the next."""

    def result(self, timeout: float | None = None) -> int:
        if not self.done():
            self.end()
            raise concurrent.futures.TimeoutError
        return super().result(timeout)

    def end(self) -> None:
        self.set_result(7)


class FailingFuture(LateFuture):
    def end(self) -> None:
        self.set_exception(TimeoutError("its own"))


def test_an_answer_that_comes_just_when_it_is_looked_for_is_no_time_out() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert thread_bridge._result(LateFuture(), loop, 60.0) == 7
        with pytest.raises(TimeoutError, match="its own"):
            thread_bridge._result(FailingFuture(), loop, 60.0)
    finally:
        loop.close()
