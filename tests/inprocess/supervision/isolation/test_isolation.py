"""Work in threads, under supervision; processes have a file of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial

import pytest

from inprocess.supervision.core.errors import WorkerDiedError
from inprocess.supervision.core.process import ShutdownLimit
from inprocess.supervision.isolation import isolation
from inprocess.supervision.isolation.isolation import run, set_limits, stop_requested
from inprocess.supervision.isolation.worker_threads import DaemonThreadPool, Job
from inprocess.supervision.lifecycle.drain import drain
from inprocess.supervision.tasks.child import Child, current_attempt, current_child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

who: ContextVar[str] = ContextVar("who")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What stuck work waits for, opened at the end of the test."""
    opened = threading.Event()
    yield opened
    opened.set()


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def started(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


def child_of(child: object) -> Child:
    assert isinstance(child, Child)
    return child


def test_a_thread_has_the_context_the_child_and_the_attempt_of_its_caller() -> None:
    seen: list[object] = []

    def look() -> None:
        seen.append((who.get(), current_child(), current_attempt()))
        if len(seen) == 1:
            raise ValueError("again")

    async def test() -> None:
        who.set("me")
        async with TaskSupervisor.start() as tasks:
            child = child_of(tasks.start_child(look, restart="transient", isolation="thread"))
            await child.wait()
        assert seen == [("me", child, 1), ("me", child, 2)]

    asyncio.run(test())


def test_an_async_function_gets_a_loop_of_its_own_in_a_thread() -> None:
    async def where() -> tuple[object, int]:
        return asyncio.get_running_loop(), threading.get_ident()

    async def test() -> None:
        found = await run(where, (), "thread", name="where")
        assert isinstance(found, tuple)
        assert found[0] is not asyncio.get_running_loop()
        assert found[1] != threading.get_ident()

    asyncio.run(test())


def test_a_plain_function_runs_on_the_loop_where_that_is_asked_for() -> None:
    async def test() -> None:
        assert await run(threading.get_ident, (), "loop", name="where") == threading.get_ident()

    asyncio.run(test())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_would_end_the_interpreter_ends_only_the_call_in_a_thread(error: BaseException) -> None:
    def leave() -> None:
        raise error

    async def test() -> None:
        with pytest.raises(WorkerDiedError, match="ends nothing but the call"):
            await run(leave, (), "thread", name="leave")

    asyncio.run(test())


def test_a_stop_iteration_from_a_thread_is_an_error_and_no_hang() -> None:
    async def test() -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await run(next, (iter(()),), "thread", name="next")

    asyncio.run(test())


def test_no_more_threads_than_the_limit_work_at_once_and_the_rest_waits_in_order(
    gate: threading.Event,
) -> None:
    begun: list[int] = []
    two = threading.Barrier(3)

    def work(number: int) -> None:
        begun.append(number)
        if number < 2:
            two.wait(10)
            gate.wait(10)

    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            children = [child_of(tasks.start_child(work, number)) for number in range(5)]
            await asyncio.to_thread(two.wait, 10)
            assert sorted(begun) == [0, 1]
            gate.set()
            for child in children:
                await child.wait()
        assert sorted(begun[:2]) == [0, 1]
        assert sorted(begun) == [0, 1, 2, 3, 4]

    set_limits(threads=2)
    try:
        asyncio.run(test())
    finally:
        set_limits(threads=isolation.THREADS)


def test_a_raised_limit_lets_waiting_work_begin() -> None:
    both = threading.Barrier(3)

    def work() -> None:
        both.wait(10)

    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            tasks.start_child(work)
            tasks.start_child(work)
            set_limits(threads=2)
            await asyncio.to_thread(both.wait, 10)
            await tasks.idle()

    set_limits(threads=1)
    try:
        asyncio.run(test())
    finally:
        set_limits(threads=isolation.THREADS)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="a limit is 0"):
        set_limits(threads=0)


def test_work_that_waits_for_a_thread_is_dropped_where_it_is_stopped(gate: threading.Event) -> None:
    begun = threading.Event()
    ran: list[str] = []

    def hold() -> None:
        begun.set()
        gate.wait(10)

    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            tasks.start_child(hold)
            await started(begun)
            second = child_of(tasks.start_child(ran.append, "second"))
            await asyncio.sleep(0)
            await tasks.terminate_child(second)
            assert second.state == "ended"
            gate.set()
            await tasks.idle()
        assert ran == []

    set_limits(threads=1)
    try:
        asyncio.run(test())
    finally:
        set_limits(threads=isolation.THREADS)


def test_a_thread_that_looks_is_told_to_end_and_ends_within_its_limit() -> None:
    begun = threading.Event()
    ended: list[str] = []

    def work() -> None:
        begun.set()
        while not stop_requested():
            pass
        ended.append("cleaned up")

    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            child = child_of(tasks.start_child(work))
            await started(begun)
            await tasks.terminate_child(child)
            assert (child.state, ended) == ("ended", ["cleaned up"])

    asyncio.run(test())
    assert not stop_requested()


@pytest.mark.parametrize("limit", [0.02, "brutal_kill"])
def test_a_thread_that_cannot_be_stopped_is_abandoned_and_reported_by_name(
    limit: ShutdownLimit, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()

    def stuck() -> None:
        begun.set()
        gate.wait(10)

    async def test() -> None:
        tasks = TaskSupervisor.start(name="tasks")
        child = child_of(tasks.start_child(stuck, name="resize", shutdown=limit))
        await started(begun)
        report = await drain(tasks, grace_s=0.0)
        assert child.state == "abandoned"
        assert [(cut.name, cut.abandoned) for cut in report.cut_off] == [("resize", True)]
        assert "abandoned: it cannot be stopped and may still be running" in str(report)
        assert any("resize" in thread.name for thread in threading.enumerate())

    asyncio.run(test())
    assert "resize cannot be stopped: its thread goes on, and was abandoned" in caplog.text


def test_a_lost_thread_does_not_keep_other_work_from_its_place(gate: threading.Event) -> None:
    begun = threading.Event()
    ran: list[str] = []

    def stuck() -> None:
        begun.set()
        gate.wait(10)

    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            child = child_of(tasks.start_child(stuck, shutdown="brutal_kill"))
            await started(begun)
            next_child = child_of(tasks.start_child(ran.append, "next"))
            await tasks.terminate_child(child)
            await next_child.wait()
        assert ran == ["next"]

    set_limits(threads=1)
    try:
        asyncio.run(test())
    finally:
        set_limits(threads=isolation.THREADS)


def test_no_more_threads_are_lost_and_replaced_than_the_pool_may_have(gate: threading.Event) -> None:
    pool = DaemonThreadPool("test", 1, 0.0, lambda: None)
    begun = [threading.Event() for _ in range(3)]

    def stuck(number: int) -> None:
        begun[number].set()
        gate.wait(10)

    jobs = [Job(f"job {number}", partial(stuck, number)) for number in range(3)]
    for job in jobs:
        pool.submit(job)
    assert begun[0].wait(10)
    pool.lose(jobs[0])
    assert begun[1].wait(10), "one more in place of the lost one"
    pool.lose(jobs[1])
    assert ([job.lost for job in jobs], pool.running()) == ([True, False, False], jobs[:2])
    assert pool.withdraw(jobs[2]), "it waits: the pool has lost as many threads as it may"
    gate.set()
    assert pool.wait(10) == []
    assert pool.release(10)


def test_work_that_ended_by_itself_during_the_stop_is_not_reported_as_cut_off() -> None:
    begun = threading.Event()

    def work() -> None:
        begun.set()
        while not stop_requested():
            pass

    async def test() -> None:
        tasks = TaskSupervisor.start()
        tasks.start_child(work)
        await started(begun)
        report = await drain(tasks, grace_s=0.0)
        assert (report.ended, report.cut_off) == (1, ())

    asyncio.run(test())


def test_a_loop_that_ends_without_a_stop_waits_for_a_thread_no_longer_than_the_limit(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()

    def stuck() -> None:
        begun.set()
        gate.wait(30)

    async def test() -> None:
        work = asyncio.ensure_future(run(stuck, (), "thread", name="stuck", shutdown=0.01))
        await started(begun)
        work.cancel()  # once only, as asyncio.run does at its end
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(test())
    assert "stuck cannot be stopped" in caplog.text


def test_the_interpreter_ends_though_a_thread_is_stuck_and_names_it() -> None:
    ended = run_python("""
        import asyncio, threading
        from inprocess import TaskSupervisor
        from inprocess.supervision.isolation import isolation

        isolation.EXIT_WAIT_S = 0.05
        begun = threading.Event()

        def stuck():
            begun.set()
            threading.Event().wait()

        async def main():
            async with TaskSupervisor.start() as tasks:
                tasks.start_child(stuck, name="resize", shutdown=0.05)
                while not begun.is_set():
                    await asyncio.sleep(0.001)

        asyncio.run(main())
        print("ended")
    """)

    assert (ended.returncode, ended.stdout) == (0, "ended\n")
    assert "resize cannot be stopped" in ended.stderr
    assert "the process ends while 1 threads go on" in ended.stderr


def test_a_thread_that_has_begun_may_finish_after_the_loop_has_ended() -> None:
    ended = run_python("""
        import asyncio, threading
        from inprocess import Task

        begun = threading.Event()

        def send():
            begun.set()
            threading.Event().wait(0.1)
            print("sent")

        async def main():
            Task.start(send)
            while not begun.is_set():
                await asyncio.sleep(0.001)
            from inprocess.supervision.tasks.task import unlinked
            await unlinked(asyncio.get_running_loop()).stop()
            print("loop ends")

        asyncio.run(main())
    """)

    assert (ended.returncode, ended.stdout) == (0, "loop ends\nsent\n")


def test_a_fork_of_the_app_has_threads_of_its_own() -> None:
    ended = run_python("""
        import asyncio, os, warnings
        from inprocess.supervision.isolation.isolation import run

        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own about forks with threads
        asyncio.run(run(print, ("parent",), "thread", name="p"))
        if os.fork() == 0:
            asyncio.run(run(print, ("child",), "thread", name="c"))
        else:
            assert os.wait()[1] == 0
    """)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "child" in ended.stdout
