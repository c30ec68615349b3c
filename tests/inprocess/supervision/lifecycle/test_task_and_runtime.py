from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inprocess import Child, GenServer, Refused, Runtime, Task, attach, home_loop
from inprocess.supervision.tasks.task import unlinked
from inprocess.testing import settle


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("not sent")


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_task_start_logs_an_error_with_who_asked_and_retries_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def send_the_mail() -> None:
        task = Task.start(fail, name="mail")
        assert isinstance(task, Child)
        await task.wait()
        await settle()
        assert task.attempt == 1

    asyncio.run(send_the_mail())
    assert "mail: fail() under" in caplog.text
    assert f"asked for by send_the_mail at {__file__}:" in caplog.text


def test_a_task_that_nobody_holds_is_not_collected() -> None:
    done: list[str] = []

    async def work(gate: asyncio.Event) -> None:
        await gate.wait()
        done.append("work")

    async def test() -> None:
        gate = asyncio.Event()
        Task.start(work, gate)
        await settle()
        gc.collect()
        gate.set()
        await unlinked(asyncio.get_running_loop()).idle()

    asyncio.run(test())
    assert done == ["work"]


def test_task_start_is_refused_while_its_loop_is_quiet() -> None:
    async def test() -> None:
        unlinked(asyncio.get_running_loop()).quiet()
        refused = Task.start(fail)
        assert isinstance(refused, Refused)
        assert refused.reason == "draining"

    asyncio.run(test())


def test_a_loop_whose_tasks_were_drained_may_be_used_again() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        await unlinked(loop).stop()
        task = Task.start(asyncio.sleep, 0)
        assert isinstance(task, Child)
        assert str(await task.wait()) == "normal"

    asyncio.run(test())


def test_a_thread_of_an_app_finds_the_loop_that_is_attached() -> None:
    async def test() -> None:
        loops: list[object] = []

        async def work() -> None:
            await asyncio.sleep(0)
            loops.append(asyncio.get_running_loop())

        loop = asyncio.get_running_loop()
        with attach(loop):
            task = await asyncio.to_thread(Task.start, work)
            assert isinstance(task, Child)
            await task.wait()
            assert loops == [loop]

    asyncio.run(test())


class Echo(GenServer):
    """Says what it is told."""

    def handle_call(self, request: object, _caller: object, /) -> object:
        return request


def test_a_runtime_hosts_processes_for_callers_without_a_loop() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def application() -> AsyncIterator[None]:
        steps.append("entered")
        yield
        await asyncio.sleep(0)
        steps.append("drained")

    runtime = Runtime(application, name="runtime-test").start()
    assert runtime.start() is runtime
    assert home_loop() is runtime.loop
    server = Echo.start()
    assert server.call_from_thread("hello") == "hello"
    runtime.run(server.stop())
    assert steps == ["entered"]
    runtime.stop()
    runtime.stop()
    assert steps == ["entered", "drained"]


def test_many_threads_start_a_runtime_once() -> None:
    entered: list[int] = []

    @asynccontextmanager
    async def application() -> AsyncIterator[None]:
        entered.append(1)
        yield

    runtime = Runtime(application, name="runtime-once")
    threads = [threading.Thread(target=runtime.start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runtime.stop()
    assert entered == [1]


def test_an_application_that_cannot_start_makes_the_runtime_fail_with_its_error() -> None:
    @asynccontextmanager
    async def application() -> AsyncIterator[None]:
        raise ValueError("no configuration")
        yield

    with pytest.raises(ValueError, match="no configuration"):
        Runtime(application, name="runtime-broken").start()


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 3),
    reason="these Pythons start no thread once the main thread has ended (gh-113964, mended in 3.12.3)",
)
def test_a_runtime_is_drained_when_the_interpreter_ends_while_threads_can_still_start() -> None:
    ended = run_python("""
        import asyncio
        from contextlib import asynccontextmanager
        from inprocess import Runtime, TaskSupervisor, drain

        async def work():
            await asyncio.sleep(0.05)
            await asyncio.to_thread(print, "stored")

        @asynccontextmanager
        async def application():
            tasks = TaskSupervisor.start(name="tasks")
            tasks.start_child(work)
            yield
            await drain(tasks, grace_s=5.0)

        Runtime(application).start()
        print("main ends")
    """)

    assert (ended.returncode, ended.stdout.split("\n"), ended.stderr) == (0, ["main ends", "stored", ""], "")


def test_a_process_with_a_task_that_ignores_cancellation_ends_all_the_same() -> None:
    ended = run_python("""
        import asyncio
        from inprocess import TaskSupervisor

        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass

        async def main():
            async with TaskSupervisor.start() as tasks:
                tasks.start_child(stubborn, shutdown=0.05)
                await asyncio.sleep(0.01)

        asyncio.run(main())
        print("ended")
    """)

    assert (ended.returncode, ended.stdout) == (0, "ended\n")
    assert "stubborn: stubborn() ignored its cancellation and was abandoned" in ended.stderr.replace(
        "main.<locals>.", ""
    )


def test_importing_the_package_loads_the_standard_library_alone() -> None:
    ended = run_python("""
        import sys
        before = set(sys.modules)
        import inprocess, inprocess.testing
        roots = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(sorted(roots - sys.stdlib_module_names))
    """)

    assert (ended.stdout, ended.stderr) == ("['inprocess']\n", "")
