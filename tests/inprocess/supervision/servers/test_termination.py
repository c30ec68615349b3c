"""How a GenServer starts, ends and crashes, and what its crash log says."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref
from typing import Any

import pytest

from inprocess import (
    NORMAL,
    Caller,
    CallTimeoutError,
    Exit,
    GenServer,
    ServerDiedError,
    StartError,
    Supervisor,
    TaskSupervisor,
    sys,
    whereis,
)
from inprocess.supervision.core.exits import Ignore
from inprocess.supervision.core.scheduler import scheduler_of
from inprocess.supervision.supervisors.child_spec import ChildSpec
from inprocess.testing import FakeClock, settle


class Vault(GenServer):
    """Holds a secret and notes its end."""

    def init(self, ends: list[str] | None = None) -> None:
        self.password = "hunter2"  # noqa: S105 - what must not be logged
        self.ends = [] if ends is None else ends

    def handle_cast(self, message: Any, /) -> None:
        if message == "kill":
            self.kill()
        elif message == "cancelled":
            raise asyncio.CancelledError
        elif isinstance(message, dict):
            raise ValueError("crashed")

    async def handle_call(self, request: Any, _caller: Caller, /) -> Any:
        await asyncio.sleep(0)
        if request == "hang":
            await asyncio.get_running_loop().create_future()
        raise ValueError("crashed in a call")

    def terminate(self, ended: Exit, /) -> None:
        self.ends.append(str(ended))


def test_a_crash_log_names_the_message_the_supervisors_and_hides_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        vault = ChildSpec("vault", lambda: Vault.start(name="vault"))
        inner = ChildSpec("inner", lambda: Supervisor.start([vault], name="inner"))
        async with Supervisor.start([inner], name="outer"):
            server = whereis("vault")
            assert isinstance(server, Vault)
            server.cast({"card": 7, "token": "t-1"})
            await server.wait()
            await settle()

    asyncio.run(main())
    (crash,) = (record for record in caplog.records if "vault crashed" in record.getMessage())
    assert crash.exc_info is not None
    assert crash.getMessage().splitlines() == [
        "vault crashed: ValueError('crashed')",
        "  last message: cast {'card': 7, 'token': [hidden]}",
        "  ancestors: inner < outer",
        "  state: {'password': [hidden], 'ends': [\"ValueError('crashed')\"]}",
    ]
    assert "hunter2" not in caplog.text
    assert "t-1" not in caplog.text


def test_a_crash_log_names_the_caller_and_where_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    async def ask(server: Vault) -> None:
        with pytest.raises(ServerDiedError) as failed:
            await server.call({"api_key": "k"})
        assert isinstance(failed.value.__cause__, ValueError)

    async def main() -> None:
        await asyncio.create_task(ask(Vault.start()), name="the one who asks")

    asyncio.run(main())
    assert "last message: call {'api_key': [hidden]}" in caplog.text
    assert "called by: task 'the one who asks' (" in caplog.text
    assert f"ask at {__file__}:" in caplog.text


def test_format_status_decides_what_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    class Discreet(Vault):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            shown = {**status, "state": "mine"}
            if "message" in shown:
                shown["message"] = {"kept": True}
            return shown

    async def main() -> None:
        server = Discreet.start()
        server.cast({"card": 7})
        await server.wait()

    asyncio.run(main())
    assert "last message: cast {'kept': True}" in caplog.text
    assert "state: mine" in caplog.text
    assert "card" not in caplog.text


def test_a_format_status_that_fails_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(Vault):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            raise LookupError(str(len(status)))

    async def main() -> None:
        server = Clumsy.start()
        server.cast({"card": 7})
        await server.wait()

    asyncio.run(main())
    assert "Clumsy failed in format_status" in caplog.text
    assert "state: [hidden: format_status failed]" in caplog.text
    assert "card" not in caplog.text


def test_what_an_error_quotes_of_a_message_hides_secrets() -> None:
    class Silent(GenServer):
        pass

    async def main() -> None:
        clock = FakeClock()
        server = Silent.start()
        with pytest.raises(ServerDiedError, match="hidden") as failed:
            await server.call({"token": "t-1"})
        assert "t-1" not in str(failed.value)
        vault = Vault.start(clock=clock)
        hanging = asyncio.ensure_future(vault.call("hang", timeout=100.0))
        await settle()
        late = asyncio.ensure_future(vault.call({"token": "t-1"}))
        await clock.advance(5.1)
        with pytest.raises(CallTimeoutError, match=r"to \{'token': \[hidden\]\}"):
            await late
        await vault.stop("brutal_kill")
        with pytest.raises(ServerDiedError):
            await hanging

    asyncio.run(main())


def test_an_idle_server_that_is_killed_has_ended_at_once_without_terminate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        server = Vault.start()
        server.kill()
        assert str(server.exit) == "killed"
        assert server.ends == []

    asyncio.run(main())
    assert caplog.records == []


def test_a_server_that_kills_itself_in_a_plain_handler_ends_when_that_returns() -> None:
    async def main() -> None:
        server = Vault.start()
        server.cast("kill")
        assert (str(await server.wait()), server.ends) == ("killed", [])

    asyncio.run(main())


def test_a_plain_handler_that_raises_the_cancellation_counts_as_killed() -> None:
    async def main() -> None:
        server = Vault.start()
        server.cast("cancelled")
        assert (str(await server.wait()), server.ends) == ("killed", ["killed"])

    asyncio.run(main())


def test_a_task_that_somebody_else_cancels_counts_as_killed_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        server = Vault.start(name="vault")
        call = asyncio.ensure_future(server.call("hang"))
        await settle()
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "vault")
        task.cancel()
        with pytest.raises(ServerDiedError):
            await call
        assert (str(server.exit), whereis("vault")) == ("killed", None)

    asyncio.run(main())
    assert "vault crashed: killed" in caplog.text


@pytest.mark.parametrize(
    ("reason", "logged"), [(NORMAL, False), (Exit("crash", ValueError("told to")), True)]
)
def test_stop_ends_it_for_the_reason_given(
    reason: Exit,
    logged: bool,  # noqa: FBT001 - a parameter of the test
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        server = Vault.start()
        await server.stop(reason=reason)
        assert (server.exit, server.ends) == (reason, [str(reason)])

    asyncio.run(main())
    assert ("Vault crashed: ValueError('told to')" in caplog.text) is logged


@pytest.mark.parametrize("is_async", [True, False])
def test_a_terminate_that_fails_is_the_exit(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001 - a parameter of the test
    class Messy(GenServer):
        def terminate(self, _ended: Exit, /) -> Any:
            async def later() -> None:
                await asyncio.sleep(0)
                raise OSError("disk")

            if is_async:
                return later()
            raise OSError("disk")

    async def main() -> None:
        server = Messy.start()
        await server.stop()
        assert str(server.exit) == "OSError('disk')"

    asyncio.run(main())
    assert caplog.text.count("Messy crashed: OSError('disk')") == 1


def test_a_terminate_that_hangs_is_killed_at_the_limit() -> None:
    class Slow(GenServer):
        async def terminate(self, _ended: Exit, /) -> None:
            await asyncio.get_running_loop().create_future()

    async def main() -> None:
        clock = FakeClock()
        server = Slow.start(clock=clock)
        stopping = asyncio.ensure_future(server.stop(3.0))
        await clock.advance(2.9)
        assert server.exit is None
        await clock.advance(0.2)
        await stopping
        assert str(server.exit) == "killed"

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [True, False])
def test_an_init_may_ignore(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001 - a parameter of the test
    class Absent(GenServer):
        def init(self) -> Any:
            async def later() -> None:
                await asyncio.sleep(0)
                raise Ignore

            if is_async:
                return later()
            raise Ignore

    async def main() -> None:
        with pytest.raises(Ignore):
            await Absent.start(name="absent").ready()
        assert whereis("absent") is None

    asyncio.run(main())
    assert caplog.records == []


def test_a_failed_async_init_is_logged_where_nobody_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(GenServer):
        async def init(self) -> None:
            await asyncio.sleep(0)
            raise ValueError("no network")

    async def main() -> None:
        server = Broken.start(name="broken")
        assert (await server.wait()).kind == "crash"
        with pytest.raises(StartError, match="no network"):
            await server.ready()

    asyncio.run(main())
    assert "broken could not start: ValueError('no network')" in caplog.text


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize(("end", "reason"), [("shutdown", "shutdown"), ("kill", "killed")])
def test_an_async_init_is_cancelled_by_a_request_to_end(turns: int, end: str, reason: str) -> None:
    class Slow(Vault):
        async def init(self, ends: list[str] | None = None) -> None:  # type: ignore[override]  # as it likes
            super().init(ends)
            await asyncio.get_running_loop().create_future()

    async def main() -> None:
        ends: list[str] = []
        server = Slow.start(ends, name="slow")
        await settle(turns)
        starting = asyncio.ensure_future(server.ready())
        await settle(turns)
        getattr(server, end)()
        assert str(await server.wait()) == reason
        with pytest.raises(StartError, match="told to end before it had started"):
            await starting
        assert (ends, whereis("slow")) == ([], None)

    asyncio.run(main())


def test_a_request_to_end_that_an_async_init_swallows_ends_it_once_it_has_started() -> None:
    class Stubborn(Vault):
        async def init(self, ends: list[str] | None = None) -> None:  # type: ignore[override]  # as it likes
            super().init(ends)
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.ends.append("swallowed")

    async def main() -> None:
        server = Stubborn.start()
        await settle()
        await server.stop()
        assert (str(server.exit), server.ends) == ("shutdown", ["swallowed", "shutdown"])

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_may_stop_itself_in_a_handler(is_async: bool) -> None:  # noqa: FBT001 - a parameter of the test
    class Leaves(GenServer):
        async def handle_cast(self, _message: Any, /) -> None:
            if is_async:
                await asyncio.sleep(0)
            await self.stop(reason=Exit("shutdown", reason="done"))

        def terminate(self, ended: Exit, /) -> None:
            terminated.append(str(ended))

    terminated: list[str] = []

    async def main() -> None:
        server = Leaves.start()
        server.cast("leave")
        await asyncio.wait_for(server.wait(), 2)
        assert str(server.exit) == "shutdown: done"
        assert terminated == ["shutdown: done"]

    asyncio.run(main())


def test_a_timer_holds_no_server_that_has_ended() -> None:
    class Idle(GenServer):
        def init(self) -> None:
            self.send_after(3600, "idle?")
            self.send_after(0.001, "soon").cancel()
            self.send_after(7200, "still idle?")

    async def main() -> None:
        ended = []
        for _ in range(10):
            server = Idle.start()
            ended.append(weakref.ref(server))
            await server.stop()
        del server
        gc.collect()
        assert [known() for known in ended] == [None] * 10
        assert scheduler_of(asyncio.get_running_loop()).armed == 0

    asyncio.run(main())


def test_a_timer_that_has_fired_is_forgotten_by_its_server() -> None:
    class Ticks(GenServer):
        def init(self) -> None:
            self.left = 50
            self.send_after(0.0, "tick")

        def handle_info(self, _message: Any, /) -> None:
            self.left -= 1
            if self.left:
                self.send_after(0.0, "tick")

    async def main() -> None:
        server = Ticks.start()
        while server.left:  # noqa: ASYNC110 - the server has nothing to wait for
            await asyncio.sleep(0)
        timer, chain = server.__process__._timers, 0
        while timer is not None:
            timer, chain = timer.earlier, chain + 1
        assert chain == 1
        await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize("limit", ["soon", -1, math.nan, [5]])
def test_a_stop_with_a_limit_that_is_none_is_refused_and_does_nothing(limit: Any) -> None:
    async def main() -> None:
        server = GenServer.start()
        tasks = TaskSupervisor.start()
        for process in (server, tasks):
            with pytest.raises(ValueError, match="limit"):
                await process.stop(limit)
            assert process.exit is None
            await process.stop()

    asyncio.run(main())


@pytest.mark.parametrize("name", [7, b"name", ("a", 1)])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    async def main() -> None:
        for start in (GenServer.start, TaskSupervisor.start, Supervisor.start):
            with pytest.raises(TypeError, match="name"):
                start(name=name)

    asyncio.run(main())


def test_a_call_without_a_timeout_waits_and_one_with_none_that_fits_is_refused_before_it_is_sent() -> None:
    class Counts(GenServer):
        def init(self) -> None:
            self.calls = 0

        async def handle_call(self, _request: Any, _caller: Caller, /) -> int:
            self.calls += 1
            await asyncio.sleep(0.01)
            return self.calls

    async def main() -> None:
        server = Counts.start()
        assert await server.call("charge", timeout=None) == 1
        with pytest.raises(TypeError, match="timeout"):
            await server.call("charge", timeout="5")  # type: ignore[arg-type]  # what is refused
        for nothing in (-1.0, math.nan):  # NaN would wait for ever
            with pytest.raises(ValueError, match="timeout is"):
                await server.call("charge", timeout=nothing)
        await asyncio.sleep(0.03)
        assert server.calls == 1
        assert await sys.get_state(server, timeout=None) == {"calls": 1}  # type: ignore[arg-type]  # as call's
        await server.stop()

    asyncio.run(main())


def test_replace_state_changes_all_or_nothing() -> None:
    class Guarded(GenServer):
        def init(self) -> None:
            self.a, self.b = 1, 2

        @property
        def c(self) -> int:
            return 3

    async def main() -> None:
        server = Guarded.start()
        with pytest.raises(AttributeError):
            await sys.replace_state(server, lambda _state: {"a": 10, "c": 30})
        with pytest.raises(TypeError, match="dictionary"):
            await sys.replace_state(server, lambda state: state.update(a=5))  # type: ignore[arg-type,return-value]  # the slip
        assert await sys.get_state(server) == {"a": 1, "b": 2}
        await server.stop()

    asyncio.run(main())
