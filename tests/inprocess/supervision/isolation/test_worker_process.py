"""Work in worker processes, real ones, with real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from inprocess.supervision.core.errors import NotPicklableError, RemoteError, WorkerDiedError
from inprocess.supervision.core.process import ShutdownLimit
from inprocess.supervision.isolation import isolation, worker_process
from inprocess.supervision.isolation.isolation import run, set_limits
from inprocess.supervision.isolation.pickling import pack_call, pack_error
from inprocess.supervision.tasks.async_task import Ok
from inprocess.supervision.tasks.child import Child, current_attempt
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

#: Module code that worker processes import; this file itself has no name that they could import it by.
WORK = """
import asyncio, os, signal, subprocess, sys, time
from pathlib import Path
from inprocess import current_attempt

class OddError(Exception):
    def __init__(self, one, two):  # pickles, and does not unpickle
        super().__init__(f"{one} and {two}")

def fail():
    raise LookupError("not there")

def fail_oddly():
    raise OddError(1, 2)

def leave(code):
    sys.exit(code)

def hang(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

def tidy(folder):
    try:
        hang(folder)
    finally:
        Path(folder, "tidy").touch()

def stubborn(folder):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(folder)

def burn(folder):
    Path(folder, str(os.getpid())).touch()
    while True:
        pass

def with_grandchild(folder):
    grandchild = subprocess.Popen(["sleep", "600"])
    Path(folder, str(grandchild.pid)).touch()
    hang(folder)

def fork_and_die():
    if os.fork() == 0:
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)

def die_once(folder):
    Path(folder, f"attempt {current_attempt()}").touch()
    if current_attempt() == 1:
        os.kill(os.getpid(), signal.SIGKILL)

async def add(one, two):
    await asyncio.sleep(0)
    return one + two

def close_all():
    os.closerange(3, 10_000)  # this one has the number that it had in the test process
    time.sleep(600)

def make_lambda():
    return lambda: None
"""


@pytest.fixture(autouse=True)
def _work(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("work")
    (folder / "isolated_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(folder)
    yield
    isolation.release()
    sys.modules.pop("isolated_work", None)


def work(name: str) -> Callable[..., object]:
    import isolated_work  # type: ignore[import-not-found]  # made by the fixture

    return getattr(isolated_work, name)  # type: ignore[no-any-return]  # they are all functions


async def in_process(function: Callable[..., object], *args: object, shutdown: ShutdownLimit = 5.0) -> object:
    return await run(function, args, "process", name="job", shutdown=shutdown)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what only another process can bring about."""
    while not condition():  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.002)


async def files(folder: Path, count: int) -> list[str]:
    """The names of the files in the folder, once there are so many."""
    await until(lambda: len(list(folder.iterdir())) >= count)
    return sorted(path.name for path in folder.iterdir())


async def pids(folder: Path, count: int = 1) -> list[int]:
    return [int(name) for name in await files(folder, count)]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(*all_pids: int) -> None:
    await until(lambda: not any(map(is_running, all_pids)))


async def started(tasks: TaskSupervisor, name: str, *args: object, shutdown: ShutdownLimit = 5.0) -> Child:
    await asyncio.sleep(0)
    child = tasks.start_child(work(name), *args, isolation="process", shutdown=shutdown)
    assert isinstance(child, Child)
    return child


def test_a_result_comes_back_and_the_process_is_used_again() -> None:
    async def test() -> None:
        first = await in_process(os.getpid)
        assert first != os.getpid()
        assert await in_process(divmod, 7, 2) == (3, 1)
        assert await in_process(os.getpid) == first

    asyncio.run(test())


def test_an_async_function_has_a_loop_in_its_process() -> None:
    assert asyncio.run(in_process(work("add"), 2, 3)) == 5


def test_an_exception_comes_back_with_the_text_of_its_traceback() -> None:
    with pytest.raises(LookupError, match="not there") as caught:
        asyncio.run(in_process(work("fail")))
    (note,) = caught.value.__notes__
    assert 'raise LookupError("not there")' in note


def test_an_exception_that_cannot_be_pickled_is_named() -> None:
    with pytest.raises(RemoteError, match=r"job: isolated_work\.OddError: 1 and 2 \(which cannot be pickled"):
        asyncio.run(in_process(work("fail_oddly")))


def test_a_function_that_cannot_be_pickled_is_named() -> None:
    with pytest.raises(
        NotPicklableError, match=r"job: its function <function .*<lambda>.* cannot be pickled"
    ):
        asyncio.run(in_process(lambda: None))


def test_an_argument_that_cannot_be_pickled_is_named_by_its_place() -> None:
    with pytest.raises(
        NotPicklableError, match=r"job: its argument 2, <unlocked _thread.lock .* cannot be pickled"
    ):
        asyncio.run(in_process(print, 1, threading.Lock()))


def test_a_result_that_cannot_be_pickled_is_named() -> None:
    with pytest.raises(NotPicklableError, match=r"job: its result <function .* cannot be pickled"):
        asyncio.run(in_process(work("make_lambda")))


def test_a_function_that_the_process_cannot_import_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        await in_process(os.getpid)  # started with the present path
        monkeypatch.setattr(in_a_test_module, "__module__", "isolated_later")
        monkeypatch.setitem(sys.modules, "isolated_later", sys.modules[__name__])
        with pytest.raises(
            NotPicklableError, match="job: its function cannot be unpickled in the other process"
        ):
            await in_process(in_a_test_module)

    asyncio.run(test())


def in_a_test_module() -> None:
    pass


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_is_a_crash_that_names_the_code(code: int) -> None:
    with pytest.raises(
        WorkerDiedError, match=f"job: its worker process .* exited with code {code}"
    ) as caught:
        asyncio.run(in_process(work("leave"), code))
    assert (caught.value.exit_code, caught.value.signal) == (code, None)


def test_os_exit_is_a_crash_that_names_the_code() -> None:
    with pytest.raises(WorkerDiedError, match="exited with code 9"):
        asyncio.run(in_process(os._exit, 9))


def test_a_death_by_signal_is_a_crash_that_names_the_signal() -> None:
    with pytest.raises(WorkerDiedError, match=r"killed by signal 11 \(SIGSEGV\)") as caught:
        asyncio.run(in_process(signal.raise_signal, signal.SIGSEGV))
    assert (caught.value.exit_code, caught.value.signal) == (None, signal.SIGSEGV)


def test_a_grandchild_that_holds_on_does_not_hide_the_death() -> None:
    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        asyncio.run(in_process(work("fork_and_die")))


def test_a_killed_child_process_is_restarted_and_knows_its_attempt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            child = tasks.start_child(
                work("die_once"),
                str(tmp_path),
                restart="transient",
                isolation="process",
                name="import",
            )
            assert isinstance(child, Child)
            assert str(await child.wait()) == "normal"
        assert await files(tmp_path, 2) == ["attempt 1", "attempt 2"]

    asyncio.run(test())
    assert "import: its worker process" in caplog.text
    assert current_attempt() == 1


def test_a_process_killed_from_outside_is_replaced_by_one_that_works(tmp_path: Path) -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            child = await started(tasks, "hang", str(tmp_path))
            (pid,) = await pids(tmp_path)
            os.kill(pid, signal.SIGKILL)
            assert (await child.wait()).kind == "crash"
        assert await in_process(os.getpid) != pid

    asyncio.run(test())


def test_a_process_that_died_while_idle_costs_the_next_work_nothing() -> None:
    async def test() -> None:
        pid = await in_process(os.getpid)
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not is_running(pid))
        assert await in_process(os.getpid) != pid
        await gone(pid)

    asyncio.run(test())


def test_a_child_that_is_stopped_may_clean_up(tmp_path: Path) -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            child = await started(tasks, "tidy", str(tmp_path))
            (pid,) = await pids(tmp_path)
            await tasks.terminate_child(child)
            assert str(child.exit) == "shutdown"
            assert not psutil.pid_exists(pid)  # nor a zombie
        assert (tmp_path / "tidy").exists()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("name", "limit"), [("stubborn", 0.05), ("burn", "brutal_kill"), ("tidy", "brutal_kill")]
)
def test_a_child_that_does_not_end_is_killed_at_its_limit(
    name: str, limit: ShutdownLimit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            child = await started(tasks, name, str(tmp_path), shutdown=limit)
            (pid,) = await pids(tmp_path)
            await tasks.terminate_child(child)
            assert (str(child.exit), child.state) == ("shutdown", "ended")
            assert not psutil.pid_exists(pid)
        assert not (tmp_path / "tidy").exists()

    asyncio.run(test())
    assert caplog.text == ""


def test_a_supervisor_that_is_killed_kills_its_processes(tmp_path: Path) -> None:
    async def test() -> None:
        tasks = TaskSupervisor.start()
        await started(tasks, "stubborn", str(tmp_path), shutdown="infinity")
        (pid,) = await pids(tmp_path)
        tasks.kill()
        await tasks.wait()
        assert not psutil.pid_exists(pid)

    asyncio.run(test())


def test_a_kill_takes_the_grandchildren_along(tmp_path: Path) -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            child = await started(tasks, "with_grandchild", str(tmp_path), shutdown="brutal_kill")
            both = await pids(tmp_path, 2)
            await tasks.terminate_child(child)
            await gone(*both)

    asyncio.run(test())


def test_a_loop_that_ends_without_a_stop_leaves_no_process(tmp_path: Path) -> None:
    async def test() -> None:
        unsupervised = asyncio.ensure_future(in_process(work("stubborn"), str(tmp_path), shutdown=0.05))
        (pid,) = await pids(tmp_path)
        unsupervised.cancel()  # once only, as asyncio.run does at its end
        with pytest.raises(asyncio.CancelledError):
            await unsupervised
        assert not psutil.pid_exists(pid)

    asyncio.run(test())


def test_no_more_processes_than_the_limit_work_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        others = {child.pid for child in psutil.Process().children()}
        async with TaskSupervisor.start() as tasks:
            first = await started(tasks, "hang", str(tmp_path))
            (pid,) = await pids(tmp_path)
            second = await started(tasks, "hang", str(tmp_path))
            assert {child.pid for child in psutil.Process().children()} - others == {pid}
            await tasks.terminate_child(first)
            assert len(await pids(tmp_path, 2)) == 2
            await tasks.terminate_child(second)

    set_limits(processes=1)
    try:
        asyncio.run(test())
    finally:
        set_limits(processes=isolation.PROCESSES)


@pytest.mark.parametrize("moment", range(6))
def test_a_cancellation_at_any_moment_leaves_no_process_behind(moment: int, tmp_path: Path) -> None:
    async def test() -> None:
        task = asyncio.ensure_future(in_process(work("hang"), str(tmp_path)))
        for _ in range(moment):
            await asyncio.sleep(0.03 * moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isolation._processes().running() == []
        assert isinstance(await in_process(os.getpid), int)

    asyncio.run(test())


APP = """
    import asyncio, signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    sys.path.insert(0, {path!r})
    from inprocess import TaskSupervisor
    from isolated_work import hang, burn, with_grandchild

    async def main():
        async with TaskSupervisor.start() as tasks:
            tasks.start_child({work}, {folder!r}, isolation="process", shutdown=0.1)
            await asyncio.sleep(600)

    asyncio.run(main())
"""


def app(work: str, folder: Path) -> subprocess.Popen[bytes]:
    program = textwrap.dedent(APP.format(path=sys.path[0], work=work, folder=str(folder)))
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("work", ["hang", "burn", "with_grandchild"])
def test_an_app_that_is_killed_leaves_no_orphan(work: str, tmp_path: Path) -> None:
    with app(work, tmp_path) as process:
        workers = asyncio.run(pids(tmp_path, 2 if work == "with_grandchild" else 1))
        process.kill()
    asyncio.run(gone(*workers))


def test_an_app_that_is_interrupted_ends_its_processes(tmp_path: Path) -> None:
    with app("hang", tmp_path) as process:
        workers = asyncio.run(pids(tmp_path))
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert not any(map(psutil.pid_exists, workers))


def test_a_fork_of_the_app_does_not_keep_its_processes_alive(tmp_path: Path) -> None:
    program = f"""
        import asyncio, os, sys, warnings
        sys.path.insert(0, {sys.path[0]!r})
        from inprocess.supervision.isolation.isolation import run
        from isolated_work import hang

        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own about forks with threads
        worker = asyncio.run(run(os.getpid, (), "process", name="pid"))
        fork = os.fork()
        if fork:
            print(worker, fork, flush=True)
        hang({str(tmp_path)!r})
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        worker, fork = map(int, process.stdout.readline().split())
        asyncio.run(files(tmp_path, 2))
        process.kill()
        asyncio.run(gone(worker))
        assert is_running(fork)
        os.kill(fork, signal.SIGKILL)


def test_a_process_that_closed_its_connection_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "LEAVE_S", 0.05)
    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        asyncio.run(in_process(work("close_all")))


def test_the_result_of_an_awaited_task_comes_from_its_process() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            assert await tasks.async_(divmod, 7, 2, isolation="process") == (3, 1)
            stream = tasks.async_stream(abs, [-1, -2], isolation="process")
            assert [found.value async for found in stream if isinstance(found, Ok)] == [1, 2]

    asyncio.run(test())


def test_functions_of_a_script_work_where_it_guards_its_main_part(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import asyncio
        from inprocess import TaskSupervisor

        class OwnError(Exception):
            pass

        def work():
            raise OwnError("mine")

        async def main():
            async with TaskSupervisor.start() as tasks:
                child = tasks.start_child(work, isolation="process")
                exit = await child.wait()
                print(type(exit.error) is OwnError, exit.error)

        if __name__ == "__main__":
            asyncio.run(main())
        """)
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert (ended.returncode, ended.stdout) == (0, "True mine\n")


def test_a_script_without_a_guard_starts_no_processes_without_end(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import asyncio
        from inprocess.supervision.isolation.isolation import run

        def work():
            return 1

        try:
            print(asyncio.run(run(work, (), "process", name="work")))
        except Exception as error:
            print(type(error).__name__, error)
        """)
    )
    ended = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert "the app's main module starts a process while it is imported" in ended.stdout
    assert ended.returncode == 0


def test_a_call_names_the_main_module_only_where_it_needs_it() -> None:
    assert pack_call("job", 1, divmod, (7, 2)).main is None


def test_an_error_that_can_be_pickled_is_sent_itself() -> None:
    assert b"LookupError" in pack_error("job", LookupError("x")).pickled


def test_a_process_that_ignores_the_end_of_its_work_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "LEAVE_S", 0.05)

    async def test() -> object:
        pid = await in_process(os.getpid)
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGSTOP)
        return pid

    pid = asyncio.run(test())
    begun = time.monotonic()
    assert isolation.release()
    assert isinstance(pid, int)
    assert not psutil.pid_exists(pid)
    assert time.monotonic() - begun < isolation.REAP_S
