"""Starts that take too long, wait for an import or come too late; and what the interpreter's end cuts off."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest

from inprocess.supervision.isolation import isolation
from inprocess.supervision.isolation.isolation import EXIT_WAIT_S
from inprocess.supervision.lifecycle import runtime as runtime_module
from inprocess.supervision.lifecycle.runtime import Runtime, home_loop
from tests.inprocess.programs import run_program

#: Pythons that start no thread once the main thread has ended (gh-113964).
NO_LATE_THREADS = pytest.mark.skipif((3, 12, 0) <= sys.version_info < (3, 12, 3), reason="gh-113964")


def test_a_start_that_takes_too_long_is_cancelled_and_says_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = threading.Event()

    @asynccontextmanager
    async def application() -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
            yield
        finally:
            left.set()

    monkeypatch.setattr(runtime_module, "START_TIMEOUT_S", 0.05)
    runtime = Runtime(application, name="runtime-late")
    with pytest.raises(TimeoutError, match=r"late did not start within 0.05 s: its thread is at .*select"):
        runtime.start()
    assert left.wait(10)
    assert not runtime.has_loop


def test_an_application_that_is_entered_too_late_is_left_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, left = threading.Event(), threading.Event()

    @asynccontextmanager
    async def application() -> AsyncIterator[None]:
        gate.wait(10)  # nothing can be cancelled meanwhile
        try:
            yield
        finally:
            left.set()

    monkeypatch.setattr(runtime_module, "START_TIMEOUT_S", 0.05)
    with pytest.raises(TimeoutError, match=r"its thread is at .*threading.py"):
        Runtime(application, name="runtime-late").start()
    gate.set()
    assert left.wait(10)


@pytest.mark.parametrize("where", ["before its loop runs", "while it enters"])
def test_a_start_that_timed_out_does_not_overwrite_a_later_one(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, ended = threading.Event(), threading.Event()
    starts: list[str] = []

    def make_loop() -> asyncio.AbstractEventLoop:
        starts.append("start")
        if len(starts) == 1 and where.startswith("before"):
            gate.wait(10)
        return asyncio.new_event_loop()

    @asynccontextmanager
    async def application() -> AsyncIterator[None]:
        is_first = len(starts) == 1
        if is_first:
            gate.wait(10)
        try:
            yield
        finally:
            if is_first:
                ended.set()

    runtime = Runtime(application, name="runtime-twice", loop_factory=make_loop)
    with monkeypatch.context() as patch:
        patch.setattr(runtime_module, "START_TIMEOUT_S", 0.05)
        with pytest.raises(TimeoutError):
            runtime.start()
    first = {thread for thread in threading.enumerate() if thread.name == "runtime-twice"}
    with runtime:
        loop, stopping = runtime.loop, runtime._stopping
        gate.set()
        for thread in first:
            thread.join(10)
        assert ended.is_set() == where.startswith("while")
        assert (runtime.loop, runtime._stopping) == (loop, stopping)
        assert home_loop() is loop
        assert runtime.call(lambda: 1) == 1


SHOP = """
    from contextlib import asynccontextmanager
    import sys, time
    sys.modules["shop"] = sys.modules[__name__]
    from inprocess import ChildSpec, GenServer, LoopGoneError, Runtime, Supervisor, TaskSupervisor

    class Prices(GenServer):
        def init(self):
            import shop.prices  # which waits for the import of `shop`, that the starting thread has begun

    @asynccontextmanager
    async def application():
        import shop.prices
        yield

    begun = time.monotonic()
    try:
        START
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print("started")
    print(time.monotonic() - begun < 5)
"""


@pytest.mark.parametrize(
    "start", ["Runtime(application).start()", 'Supervisor.start([ChildSpec("prices", Prices.start)])']
)
def test_a_start_that_waits_for_an_import_of_its_own_thread_is_refused_and_names_the_module(
    start: str, tmp_path: Path
) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    code = SHOP.replace('sys.modules["shop"] = sys.modules[__name__]', "").replace("START", start)
    lines = [line.removeprefix("    ") for line in code.split("\n")]
    (package / "__init__.py").write_text("\n".join(lines))
    (package / "prices.py").touch()
    ended = run_program("import shop", cwd=tmp_path)
    told, quick = ended.stdout.splitlines()
    assert told.startswith("LoopGoneError "), ended.stderr
    assert "the import of shop" in told
    assert "at the first use" in told
    assert quick == "True"


def test_a_child_that_imports_what_its_starter_imports_waits_for_it_and_is_done(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import time\n"
        "from inprocess import TaskSupervisor\n"
        "def job():\n"
        "    import shop.prices\n"
        "    return shop.prices.ONE\n"
        "tasks = TaskSupervisor.start()\n"
        "task = tasks.async_nolink(job)\n"
        "time.sleep(0.2)\n"
    )
    (package / "prices.py").write_text("ONE = 1\n")
    ended = run_program("import shop; print(shop.task.result_in_thread())", cwd=tmp_path)
    assert ended.stdout == "1\n", ended.stderr


def test_what_starts_when_the_interpreter_has_begun_to_end_is_refused_with_the_reason() -> None:
    ended = run_program("""
        import atexit
        from inprocess import Runtime, Supervisor, Task, TaskSupervisor
        from inprocess.supervision.lifecycle.runtime import on_loop

        def late():
            refused = Task.start(print, "never")
            print(type(refused).__name__, refused.reason, refused.text)
            for start in (TaskSupervisor.start, Supervisor.start, Runtime(name="own").start):
                try:
                    start()
                except RuntimeError as error:
                    print(type(error).__name__, error)
            refused = before.start_child(print, "never")
            print(type(refused).__name__, refused.reason, refused.text)

        atexit.register(late)
        before = TaskSupervisor.start()
        on_loop(before.start_child(int).wait)
    """)
    task, *starts, before = ended.stdout.splitlines()
    assert task.startswith("Refused not_running print: inprocess: the interpreter is ending"), ended.stderr
    assert [line.split(":")[0] for line in starts] == [
        "LoopGoneError inprocess", "LoopGoneError inprocess", "LoopGoneError own",
    ]  # fmt: skip
    assert all("the interpreter is ending and begins no new work" in line for line in starts)
    assert before.startswith("Refused not_running TaskSupervisor: its event loop is closed")
    assert ended.stderr.startswith("a child was refused: TaskSupervisor: its event loop is closed")


def test_tasks_without_a_supervisor_that_the_end_cuts_off_are_named() -> None:
    ended = run_program("""
        import asyncio, time
        from inprocess import Task

        async def mail(number):
            await asyncio.sleep(60)

        Task.start(mail, 7)
        Task.start(int)
        time.sleep(0.2)
    """)
    assert ended.stderr == (
        "Task.start drained: 0 ended, 1 cut off and lost:\n  mail: mail(7) (running, attempt 1)\n"
    )


def test_an_end_without_tasks_says_nothing() -> None:
    ended = run_program("""
        from inprocess import Task
        from inprocess.supervision.lifecycle.runtime import on_loop
        on_loop(Task.start(int).wait)
    """)
    assert (ended.stdout, ended.stderr) == ("", "")


@NO_LATE_THREADS
def test_a_thread_of_to_thread_on_a_runtime_holds_the_exit_no_longer_than_the_limit_and_is_named() -> None:
    begun = time.monotonic()
    ended = run_program("""
        import asyncio, time
        from inprocess import TaskSupervisor

        async def wait():
            await asyncio.to_thread(time.sleep, 50)

        tasks = TaskSupervisor.start(name="mails")
        tasks.start_child(wait, shutdown=0.1)
        time.sleep(0.3)
        import os, signal, threading
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()  # cuts the grace short
    """)
    assert time.monotonic() - begun < 30
    assert "1 cut off and lost:\n  wait: wait()" in ended.stderr
    told = f"1 threads go on, which no one can stop and {EXIT_WAIT_S:g} s did not end: wait"
    assert told in ended.stderr


def test_to_thread_on_a_runtime_brings_results_errors_and_context_as_elsewhere() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    gate = threading.Event()

    def fail() -> None:
        raise LookupError("not there")

    async def work() -> tuple[str, str, int]:
        request.set("ann")
        with pytest.raises(LookupError, match="not there"):
            await asyncio.to_thread(fail)
        loop = asyncio.get_running_loop()
        pair = await asyncio.gather(loop.run_in_executor(None, pow, 2, 3), asyncio.to_thread(request.get))
        waiting = asyncio.ensure_future(asyncio.to_thread(gate.wait, 10))
        await asyncio.sleep(0)
        waiting.cancel()
        return pair[1], threading.current_thread().name, pair[0]

    with Runtime(name="runtime-threads") as runtime:
        assert runtime.call(work) == ("ann", "runtime-threads", 8)
        gate.set()
        assert isolation._of_loops.wait(10) == []
