"""Whatever an app raises, and wherever: the runtime records the end, frees the name and answers who waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inprocess import (
    Caller,
    Child,
    ChildSpec,
    DynamicSupervisor,
    Exit,
    GenServer,
    Periodic,
    RestartIntensity,
    ServerDiedError,
    Shutdown,
    StartError,
    Supervisor,
    TaskSupervisor,
    sys,
    telemetry,
    whereis,
)
from inprocess.testing import settle
from tests.inprocess.programs import run_program


class NoReprError(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("repr")


class NoTextError(Exception):
    def __str__(self) -> str:
        return self.args[1] if len(self.args) > 1 else None  # type: ignore[return-value]  # a common slip


class NoReprAtAllError(Exception):
    def __repr__(self) -> str:
        raise Unusual

    __str__ = __repr__


class Unusual(BaseException):
    """Of the kind of pytest's outcomes, or gevent's Timeout."""


ODD = [NoReprError, NoTextError, NoReprAtAllError, Unusual]
ENDS_LOOP = [SystemExit, KeyboardInterrupt]
Raise = Callable[[], BaseException]


class Raising(GenServer):
    """Raises where it is told to."""

    def init(self, where: str, error: Raise) -> Any:
        self.where, self.error = where, error
        if where == "init":
            raise error()
        return self.fail() if where == "async init" else None

    async def fail(self, wait: float | None = None) -> None:
        if wait is not None:
            await asyncio.sleep(wait)
        raise self.error()

    def handle_call(self, request: Any, _caller: Caller, /) -> Any:
        if self.where == "call":
            raise self.error()
        if self.where == "async call":
            return self.fail()
        if self.where == "async call that waits":
            return self.fail(0)
        raise Shutdown(request)

    def handle_cast(self, _message: Any, /) -> None:
        raise self.error()

    def terminate(self, _ended: Exit, /) -> Any:
        if self.where == "terminate":
            raise self.error()
        return self.fail() if self.where == "async terminate" else None


class Plain(GenServer):
    pass


def run(main: Callable[[], Any], *, ends: type[BaseException] | None = None) -> None:
    """Run it; expect that the loop ends with this exception, if any."""
    if ends is None:
        asyncio.run(main())
        return
    with pytest.raises(ends):
        asyncio.run(main())


@pytest.mark.parametrize("error", ODD)
@pytest.mark.parametrize(
    "where", ["call", "async call", "async call that waits", "terminate", "async terminate"]
)
def test_a_caller_is_answered_and_the_name_is_free_whatever_a_server_raises(
    where: str, error: type[BaseException]
) -> None:
    async def main() -> None:
        server = Raising.start(where, error, name="odd")
        with pytest.raises(ServerDiedError):
            await server.call("stop", timeout=5)
        assert server.exit is not None
        assert str(server.exit)
        assert isinstance(server.exit.error, error)
        assert whereis("odd") is None

    run(main)


@pytest.mark.parametrize("error", ENDS_LOOP)
@pytest.mark.parametrize("where", ["call", "async call", "async call that waits"])
def test_what_ends_the_program_ends_the_server_first(where: str, error: type[BaseException]) -> None:
    servers: list[GenServer] = []

    async def main() -> None:
        servers.append(Raising.start(where, error, name="odd"))
        with contextlib.suppress(ServerDiedError):
            await servers[0].call("stop", timeout=5)

    run(main, ends=error)
    assert servers[0].exit is not None
    assert isinstance(servers[0].exit.error, error)
    assert whereis("odd") is None


@pytest.mark.parametrize("error", ODD)
@pytest.mark.parametrize("where", ["init", "async init"])
def test_a_start_that_raises_anything_fails_and_undoes_itself(where: str, error: type[BaseException]) -> None:
    async def main() -> None:
        supervisor = Supervisor.start(
            [
                ChildSpec("plain", lambda: Plain.start(name="plain")),
                ChildSpec("odd", lambda: Raising.start(where, error, name="odd")),
            ],
            name="tree",
        )
        with pytest.raises(StartError, match="odd"):
            await supervisor.ready()
        await supervisor.wait()
        assert [whereis(name) for name in ("tree", "plain", "odd")] == [None, None, None]

    run(main)


@pytest.mark.parametrize("error", ENDS_LOOP)
def test_what_ends_the_program_in_a_start_ends_the_tree_first(error: type[BaseException]) -> None:
    def start() -> GenServer:
        raise error

    async def main() -> None:
        with pytest.raises(error):
            Supervisor.start(
                [ChildSpec("plain", lambda: Plain.start(name="plain")), ChildSpec("odd", start)], name="tree"
            )
        await settle()
        assert [whereis(name) for name in ("tree", "plain")] == [None, None]

    run(main)


@pytest.mark.parametrize("error", ODD)
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_a_start_function_that_raises_anything_leaves_the_siblings_alone(
    kind: type[Supervisor | DynamicSupervisor], error: type[BaseException]
) -> None:
    def start() -> GenServer:
        raise error

    async def main() -> None:
        async with kind.start() as supervisor:
            sibling = await supervisor.start_child(ChildSpec("plain", Plain.start))
            with pytest.raises(StartError):
                await supervisor.start_child(ChildSpec("odd", start))
            assert isinstance(sibling, Plain)
            assert sibling.exit is None
            assert supervisor.exit is None

    run(main)


def test_a_start_function_that_raises_cancelled_error_is_a_failed_start() -> None:
    def start() -> GenServer:
        raise asyncio.CancelledError

    async def main() -> None:
        async with Supervisor.start() as supervisor:
            with pytest.raises(StartError, match="CancelledError"):
                await supervisor.start_child(ChildSpec("odd", start))

    run(main)


@pytest.mark.parametrize("error", [ValueError, Unusual])
def test_a_monitor_that_raises_hides_the_end_from_nobody(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_exit: Exit) -> None:
        raise error

    async def main() -> None:
        told: list[Exit] = []
        start = lambda: Raising.start("", ValueError, name="odd")  # noqa: E731 - named for two uses
        async with Supervisor.start([ChildSpec("odd", start)]):
            first = whereis("odd")
            assert isinstance(first, Raising)
            first.monitor(fail)
            first.monitor(told.append)
            first.cast("crash")
            await settle()
            assert told == [first.exit]
            assert whereis("odd") not in {None, first}

    run(main)
    assert "the monitor" in caplog.text


@pytest.mark.parametrize("error", ODD)
def test_a_child_that_raises_anything_crashes_alone(error: type[BaseException]) -> None:
    attempts: list[int] = []

    async def odd() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise error

    def odd_in_a_thread() -> None:
        raise error

    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            sibling = tasks.start_child(asyncio.sleep, 60)
            child = tasks.start_child(odd, restart="transient")
            in_thread = tasks.start_child(odd_in_a_thread)
            assert isinstance(sibling, Child)
            assert isinstance(child, Child)
            assert isinstance(in_thread, Child)
            assert (await child.wait()).kind == "normal"
            assert (await in_thread.wait()).kind == "crash"
            assert tasks.exit is None
            assert sibling.exit is None

    run(main)


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("wait", ["pass", "await asyncio.sleep(0)"])
def test_the_loop_ends_in_order_when_a_transient_child_ends_the_program(error: str, wait: str) -> None:
    ended = run_program(f"""
        import asyncio, contextlib
        from inprocess import TaskSupervisor

        async def odd():
            print("attempt")
            {wait}
            raise {error}

        async def main():
            tasks = TaskSupervisor.start()
            tasks.start_child(odd, restart="transient")
            try:
                await asyncio.sleep(60)
            finally:
                print("cleaned up")

        with contextlib.suppress({error}):
            asyncio.run(main())
    """)
    assert ended.stdout == "attempt\ncleaned up\n", ended.stderr
    assert "its event loop is being closed" in ended.stderr


@pytest.mark.parametrize("error", [NoTextError, Unusual])
def test_a_hook_that_raises_ends_neither_supervisor_nor_server(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> Any:
        raise error

    class Secretive(Raising):
        def format_status(self, _status: dict[str, Any]) -> dict[str, Any]:
            raise error

    async def crash() -> None:
        raise ValueError

    async def main() -> None:
        telemetry.attach("odd", [("task", "exception")], fail)
        async with TaskSupervisor.start() as tasks:
            none = RestartIntensity(0, 1)
            child = tasks.start_child(crash, restart="transient", on_give_up=fail, intensity=none)
            assert isinstance(child, Child)
            await child.wait()
            assert tasks.exit is None
        server = Secretive.start("call", ValueError)
        with pytest.raises(ServerDiedError):
            await server.call(1)
        periodic = Periodic.start(fail, interval_s=0.01)
        assert (await periodic.wait()).kind == "crash"

    with caplog.at_level(logging.CRITICAL, "inprocess"):
        run(main)
    assert telemetry.detach("odd") is False


@pytest.mark.parametrize("error", [ValueError, Unusual, StopIteration, asyncio.CancelledError])
def test_a_question_of_sys_that_raises_is_answered_with_it(error: type[BaseException]) -> None:
    def change(_state: dict[str, Any]) -> dict[str, Any]:
        raise error

    async def main() -> None:
        server = Plain.start()
        with pytest.raises((error, RuntimeError)):  # the two that mean another thing are wrapped
            await sys.replace_state(server, change, timeout=5)
        assert server.exit is None
        await server.stop()

    run(main)


@pytest.fixture
def broken_filter() -> Iterator[None]:
    def fail(_record: logging.LogRecord) -> bool:
        raise ValueError("a filter of the app")

    logger = logging.getLogger("inprocess")
    logger.addFilter(fail)
    yield
    logger.removeFilter(fail)


@pytest.mark.usefixtures("broken_filter")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_log_filter_that_raises_hides_no_end() -> None:
    async def main() -> None:
        async with Supervisor.start(
            [ChildSpec("odd", lambda: Raising.start("call", ValueError, name="odd"))]
        ):
            first = whereis("odd")
            assert isinstance(first, Raising)
            with pytest.raises(ServerDiedError):
                await first.call(1, timeout=5)
            await settle()
            assert whereis("odd") not in {None, first}

    run(main)
