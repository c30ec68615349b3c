"""Runtime, and every entry called from a synchronous thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from inprocess.supervision.core.names import whereis
from inprocess.supervision.lifecycle.drain import drain
from inprocess.supervision.lifecycle.runtime import Runtime, home_loop, on_loop
from inprocess.supervision.servers import sys as otp_sys
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.child_spec import ChildSpec
from inprocess.supervision.supervisors.dynamic_supervisor import DynamicSupervisor
from inprocess.supervision.supervisors.partition_supervisor import PartitionSupervisor
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task import Task
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime(name="runtime-test") as running:
        yield running


class Counter(GenServer):
    """Counts."""

    def init(self) -> None:
        self.count = 0

    def handle_call(self, _request: object, _caller: object, /) -> int:
        return self.count

    def handle_cast(self, message: int, /) -> None:
        self.count += message


async def work(result: list[int], number: int) -> int:
    await asyncio.sleep(0)
    result.append(number)
    return number


def test_a_task_supervisor_is_used_from_a_thread_alone(runtime: Runtime) -> None:
    tasks = TaskSupervisor.start(name="tasks")
    assert tasks.loop is runtime.loop
    done: list[int] = []
    child = tasks.start_child(work, done, 1)
    assert isinstance(child, Child)
    assert str(on_loop(child.wait)) == "normal"
    assert done == [1]
    forever = tasks.start_child(asyncio.sleep, 3600)
    assert tasks.children() == [forever]
    assert on_loop(tasks.terminate_child, forever)
    assert on_loop(lambda: tasks.async_(work, done, 2)) == 2
    assert tasks.async_nolink(work, done, 3).result_in_thread() == 3
    assert on_loop(partial(drain, grace_s=1.0), tasks, loop=runtime.loop).cut_off == ()


def test_an_unlinked_task_is_started_from_a_thread(runtime: Runtime) -> None:
    done: list[int] = []
    task = Task.start(work, done, 1)
    assert isinstance(task, Child)
    assert str(runtime.call(task.wait)) == "normal"


def test_a_server_is_used_from_a_thread_alone(runtime: Runtime) -> None:
    server = Counter.start(name="counter")
    server.cast(2)
    assert server.call_from_thread("count") == 2
    assert on_loop(server.call, "count") == 2
    assert on_loop(otp_sys.get_state, server) is not None
    assert runtime.run(server.call("count")) == 2
    on_loop(server.stop)
    assert whereis("counter") is None


def test_a_supervisor_is_used_from_a_thread_alone(runtime: Runtime) -> None:
    tree = Supervisor.start([ChildSpec("one", Counter.start)], name="tree")
    assert tree.loop is runtime.loop
    second = on_loop(tree.start_child, ChildSpec("two", Counter.start))
    assert isinstance(second, Counter)
    assert [row[0] for row in tree.which_children()] == ["one", "two"]
    assert on_loop(tree.count_children) is not None
    on_loop(tree.terminate_child, "two")
    on_loop(tree.restart_child, "two")
    on_loop(tree.terminate_child, "two")
    on_loop(tree.delete_child, "two")
    assert [row[0] for row in tree.which_children()] == ["one"]
    on_loop(tree.stop)


def test_the_other_supervisors_are_used_from_a_thread_alone(runtime: Runtime) -> None:
    dynamic = DynamicSupervisor.start(name="dynamic")
    server = on_loop(dynamic.start_child, ChildSpec("one", Counter.start))
    assert isinstance(server, Counter)
    assert server.loop is runtime.loop
    on_loop(dynamic.terminate_child, server)
    on_loop(dynamic.stop)
    partitions = PartitionSupervisor.start(lambda _number: TaskSupervisor.start(), partitions=2)
    assert partitions.loop is runtime.loop
    on_loop(partitions.stop)


def test_what_takes_too_long_is_cancelled_and_named(runtime: Runtime) -> None:
    ended = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError, match=r"hang.*did not return within 0.01 s and was cancelled"):
        runtime.call(hang, timeout_s=0.01)
    assert ended.wait(10)


def test_a_time_out_of_the_function_itself_is_its_own(runtime: Runtime) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        runtime.call(fail, timeout_s=10)


def test_a_wait_for_the_own_thread_is_refused_and_not_a_deadlock(runtime: Runtime) -> None:
    async def wait_for_itself() -> None:
        for call in (runtime.stop, runtime.start, partial(runtime.call, print), partial(on_loop, print)):
            with pytest.raises(RuntimeError, match="own thread"):
                call()

    runtime.call(wait_for_itself)


def test_a_runtime_that_was_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="call start"):
        _ = Runtime(name="runtime-new").loop


def test_a_runtime_may_be_started_again() -> None:
    runtime = Runtime(name="runtime-again")
    for _ in range(2):
        with runtime:
            assert home_loop() is runtime.loop
            assert runtime.call(lambda: 1) == 1


def test_a_runtime_whose_loop_ended_by_an_error_starts_anew(caplog: pytest.LogCaptureFixture) -> None:
    entered: list[asyncio.Event] = []

    @asynccontextmanager
    async def application() -> AsyncIterator[None]:
        stopping = asyncio.Event()
        entered.append(stopping)
        try:
            yield
        finally:
            if len(entered) == 1:
                raise ValueError("broken drain")

    runtime = Runtime(application, name="runtime-broken").start()
    thread = runtime._thread
    assert thread is not None
    runtime.call(runtime._stopping.set)
    thread.join(10)
    runtime.start()
    assert len(entered) == 2
    assert runtime.call(lambda: 1) == 1
    runtime.stop()
    assert "the runtime runtime-broken ended with an error" in caplog.text


def test_a_runtime_may_have_a_loop_of_another_make() -> None:
    import uvloop

    with Runtime(name="runtime-uvloop", loop_factory=uvloop.new_event_loop) as runtime:
        assert isinstance(runtime.loop, uvloop.Loop)
        tasks = TaskSupervisor.start()
        assert on_loop(lambda: tasks.async_(pow, 2, 3)) == 8
        on_loop(tasks.stop)


def test_a_fork_of_the_app_starts_a_runtime_of_its_own() -> None:
    program = """
        import os, warnings
        from inprocess import TaskSupervisor
        from inprocess.supervision.lifecycle.runtime import on_loop

        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own about forks with threads

        def serve():
            tasks = TaskSupervisor.start(name="tasks")
            child = tasks.start_child(print, os.getpid(), isolation="thread")
            on_loop(child.wait)

        serve()
        if os.fork() == 0:
            serve()
        else:
            assert os.wait()[1] == 0
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, len(set(ended.stdout.split()))) == (0, 2), ended.stderr


def test_a_fork_of_an_app_with_the_scenarios_tree_starts_a_tree_of_its_own() -> None:
    program = """
        import os, warnings
        from inprocess import application, whereis

        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own about forks with threads
        application.home()
        if os.fork() == 0:
            assert application.home().is_running()
            assert whereis("account_setup") is not None
            application.stop()
        else:
            assert os.wait()[1] == 0
            application.stop()
            print("both ended")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "both ended\n"), ended.stderr
