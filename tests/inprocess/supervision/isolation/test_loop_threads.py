"""`asyncio.to_thread` in a child: it does not hold the exit of the process for longer than a bound."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest

from inprocess import Child, Runtime, TaskSupervisor
from inprocess.supervision.isolation import isolation
from inprocess.supervision.isolation.loop_threads import LoopThreads
from tests.inprocess.programs import run_program

#: Seconds for which the thread of the programs sleeps: longer than a test may take.
FOREVER_S = 600

PROGRAM = f"""
    import asyncio, logging, sys, threading, time
    from inprocess import TaskSupervisor
    from inprocess.supervision.isolation import isolation

    logging.basicConfig(format="%(message)s")
    isolation.EXIT_WAIT_S = 0.5
    begun = threading.Event()

    def block():
        begun.set()
        time.sleep({FOREVER_S})

    async def fetch():
        await asyncio.to_thread(block)

    async def main():
        RUN
        while not begun.is_set():
            await asyncio.sleep(0.01)
        print("end", time.monotonic())

    LOOP.run(main())
    print("ended", time.monotonic())
"""
CHILD = "tasks = TaskSupervisor.start(); tasks.start_child(fetch, shutdown=0.1)"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_end_of_a_program_does_not_wait_for_it_and_names_the_child(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    code = PROGRAM.replace("RUN", CHILD).replace("LOOP", loop)
    if loop == "uvloop":
        code = code.replace("import asyncio,", "import uvloop, asyncio,")
    began = time.monotonic()
    ended = run_program(code)
    assert time.monotonic() - began < FOREVER_S / 20, ended.stderr
    assert ended.returncode == 0, ended.stderr
    assert (
        "the process ends while 1 threads go on, which no one can stop and 0.5 s did not end: fetch"
        in ended.stderr
    )


def test_a_thread_that_somebody_else_waits_for_is_still_waited_for() -> None:
    code = PROGRAM.replace(str(FOREVER_S), "1.5").replace("LOOP", "asyncio")
    ended = run_program(code.replace("RUN", "TaskSupervisor.start(); mine = asyncio.create_task(fetch())"))
    words = ended.stdout.split()
    assert float(words[3]) - float(words[1]) > 1.0, ended.stderr
    assert "to_thread" not in ended.stderr


def test_an_executor_of_the_users_serves_what_is_not_a_childs() -> None:
    async def name() -> str:
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2, thread_name_prefix="mine"))
        async with TaskSupervisor.start() as tasks, TaskSupervisor.start():
            assert (await name()).startswith("mine")
            task = tasks.async_nolink(name)
            assert (await task).startswith("inprocess to_thread: ")
            assert type(loop._default_executor) is LoopThreads  # type: ignore[attr-defined]
            assert type(loop._default_executor._others) is ThreadPoolExecutor  # type: ignore[attr-defined]

    asyncio.run(main())


def test_results_errors_arguments_and_the_context_pass_through_as_ever() -> None:
    variable = contextvars.ContextVar("variable", default="none")

    def work(*args: int, **options: int) -> tuple[object, ...]:
        return (args, options, variable.get())

    def fail() -> None:
        raise KeyError("no")

    async def child() -> list[object]:
        variable.set("child's")
        found: list[object] = [await asyncio.to_thread(work, 1, 2, x=3)]
        with pytest.raises(KeyError):
            await asyncio.to_thread(fail)
        found.append(await asyncio.get_running_loop().run_in_executor(None, work, 4))
        return found

    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            found = await tasks.async_nolink(child)
            assert found == [((1, 2), {"x": 3}, "child's"), ((4,), {}, "none")]

    asyncio.run(main())


def run_on_a_runtime(main: Coroutine[object, object, None]) -> None:
    with Runtime(name="runtime-to-thread") as runtime:
        runtime.run(main, timeout_s=60.0)


@pytest.mark.parametrize("run", [asyncio.run, run_on_a_runtime])
def test_a_child_whose_call_waits_for_a_thread_says_so_and_a_cancelled_call_never_runs(
    run: Callable[[Coroutine[object, object, None]], object],
) -> None:
    async def main() -> None:
        free, ran = threading.Event(), []

        def call(number: int) -> None:
            ran.append(number)
            free.wait()

        async def child(number: int) -> None:
            await asyncio.to_thread(call, number)

        async with TaskSupervisor.start(name="calls") as tasks:
            children = [tasks.start_child(child, number) for number in range(isolation.THREADS + 1)]
            end = time.monotonic() + 30
            while len(ran) < isolation.THREADS:
                assert time.monotonic() < end
                await asyncio.sleep(0.005)
            last = children[-1]
            assert isinstance(last, Child)
            assert [one.state for one in children if isinstance(one, Child)] == [
                *["running"] * isolation.THREADS,
                "waiting",
            ]
            await tasks.terminate_child(last)
            free.set()
            await tasks.idle()
            assert sorted(ran) == list(range(isolation.THREADS))

    run(main())
