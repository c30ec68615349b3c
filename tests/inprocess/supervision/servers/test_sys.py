from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess import CallTimeoutError, GenServer, ServerDiedError, Supervisor, whereis
from inprocess.supervision.servers import sys
from inprocess.supervision.servers.debug import Event
from inprocess.supervision.supervisors.child_spec import ChildSpec
from inprocess.testing import FakeClock, settle


class Till(GenServer):
    """A till with a secret and a gate."""

    def init(self, cash: int = 0) -> None:
        self.cash = cash
        self.api_key = "k-123"

    def handle_call(self, request: Any, caller: Any, /) -> Any:
        return self.cash if request == "cash" else super().handle_call(request, caller)

    async def handle_cast(self, message: Any, /) -> None:
        if isinstance(message, asyncio.Event):
            await message.wait()
        else:
            self.cash += message


class Slotted(GenServer):
    """A server without a dictionary."""

    __slots__ = ("count", "unset")

    def init(self) -> None:
        self.count = 1


def run(test: Callable[[Till], Awaitable[Any]], clock: FakeClock | None = None) -> None:
    async def main() -> None:
        async with Till.start(5, clock=clock) as server:
            await test(server)

    asyncio.run(main())


def test_get_state_is_answered_in_its_turn() -> None:
    async def test(server: Till) -> None:
        server.cast(1)
        server.cast(2)
        state = await sys.get_state(server)
        assert state == {"cash": 8, "api_key": "k-123"}

    run(test)


def test_a_servers_slots_are_state_and_the_runtimes_are_not() -> None:
    async def main() -> None:
        async with Slotted.start() as server:
            assert not hasattr(server, "__dict__")
            assert await sys.get_state(server) == {"count": 1}
            await sys.replace_state(server, lambda state: {**state, "unset": 2})
            assert await sys.get_state(server) == {"count": 1, "unset": 2}

    asyncio.run(main())


def test_replace_state_sets_adds_and_deletes_attributes() -> None:
    async def test(server: Till) -> None:
        state = await sys.replace_state(server, lambda state: {"cash": state["cash"] + 1, "new": True})
        assert state == {"cash": 6, "new": True}
        assert await server.call("cash") == 6
        assert not hasattr(server, "api_key")

    run(test)


def test_a_change_that_fails_is_its_callers_error_and_changes_nothing() -> None:
    async def test(server: Till) -> None:
        with pytest.raises(KeyError):
            await sys.replace_state(server, lambda state: {"cash": state["no such"]})
        assert await server.call("cash") == 5

    run(test)


def test_the_status_names_the_supervisors_and_hides_secrets() -> None:
    async def main() -> None:
        clock = FakeClock()
        inner = ChildSpec(
            "inner",
            lambda: Supervisor.start(
                [ChildSpec("till", lambda: Till.start(name="till", clock=clock))], name="inner"
            ),
        )
        async with Supervisor.start([inner], name="outer"):
            till = whereis("till")
            assert isinstance(till, Till)
            await clock.advance(2.0)
            await sys.log(till, 5)
            till.cast(3)
            status = await sys.get_status(till)
            assert (status.name, status.kind, status.status) == ("till", "Till", "running")
            assert status.ancestors == ("inner", "outer")
            assert (status.uptime, status.mailbox_depth) == (2.0, 0)
            assert status.state == "{'cash': 3, 'api_key': [hidden]}"
            assert [event.message for event in status.log] == ["3"]

    asyncio.run(main())


def test_a_suspended_server_lets_messages_wait_until_it_is_resumed() -> None:
    async def test(server: Till) -> None:
        await sys.suspend(server)
        call = asyncio.ensure_future(server.call("cash"))
        await settle()
        server.cast(1)
        await settle()
        assert (call.done(), server.mailbox_depth) == (False, 2)
        assert (await sys.get_status(server)).status == "suspended"
        assert (await sys.get_state(server))["cash"] == 5
        await sys.resume(server)
        assert await call == 5
        assert await server.call("cash") == 6

    run(test)


def test_questions_that_wait_behind_messages_are_answered_once_the_server_is_suspended() -> None:
    async def test(server: Till) -> None:
        gate = asyncio.Event()
        server.cast(gate)
        suspended = asyncio.ensure_future(sys.suspend(server))
        await settle()
        server.cast(1)
        state = asyncio.ensure_future(sys.get_state(server))
        await settle()
        assert not suspended.done()
        gate.set()
        await suspended
        assert (await state)["cash"] == 5
        await sys.resume(server)
        assert await server.call("cash") == 6

    run(test)


def test_a_suspended_server_can_be_stopped_and_its_callers_are_told() -> None:
    async def test(server: Till) -> None:
        await sys.suspend(server)
        call = asyncio.ensure_future(server.call("cash"))
        await settle()
        await server.stop()
        assert str(server.exit) == "shutdown"
        with pytest.raises(ServerDiedError):
            await call

    run(test)


def test_resume_without_suspend_is_harmless() -> None:
    async def test(server: Till) -> None:
        await sys.resume(server)
        assert await server.call("cash") == 5

    run(test)


def test_the_log_keeps_the_last_events_with_secrets_hidden() -> None:
    async def test(server: Till) -> None:
        assert await sys.log(server) == []
        await sys.log(server, 2)
        server.cast(1)
        server.info({"password": "x"})
        await server.call("cash")
        kinds = [(event.kind, event.message) for event in await sys.log(server)]
        assert kinds == [("call", "'cash'"), ("reply", "6")]
        await sys.log(server, "stop")
        extra = server.__process__.extra
        assert extra is not None
        assert extra.debug is None  # messages are handled the short way again
        await sys.log(server, 5)
        server.info({"password": "x"})
        assert [str(event) for event in await sys.log(server)] == ["got info {'password': [hidden]}"]

    run(test)


def test_statistics_count_messages_and_replies_between_start_and_stop() -> None:
    async def test(server: Till) -> None:
        assert await sys.statistics(server) is None
        await sys.statistics(server, "start")
        server.cast(1)
        await server.call("cash")
        counted = await sys.statistics(server)
        assert counted is not None
        assert (counted.messages_in, counted.messages_out) == (2, 1)
        await server.call("cash")
        stopped = await sys.statistics(server, "stop")
        assert stopped is not None
        assert (stopped.messages_in, stopped.messages_out) == (3, 2)
        assert await sys.statistics(server) is None

    run(test)


def test_a_trace_goes_to_the_log_or_to_a_function_until_it_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def test(server: Till) -> None:
        seen: list[Event] = []
        await sys.trace(server)
        await server.call("cash")
        await sys.trace(server, seen.append)
        server.cast(2)
        await server.call("cash")
        await sys.trace(server, to=False)
        await server.call("cash")
        assert [(event.kind, event.message) for event in seen] == [
            ("cast", "2"),
            ("call", "'cash'"),
            ("reply", "7"),
        ]

    with caplog.at_level(logging.INFO, "inprocess"):
        run(test)
    assert "Till got call 'cash' from task" in caplog.text
    assert "Till sent the reply 5 to task" in caplog.text
    assert len(caplog.records) == 2


def test_a_trace_that_fails_is_ended_and_the_server_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def test(server: Till) -> None:
        await sys.trace(server, lambda event: event.no_such_thing)  # type: ignore[attr-defined]  # it fails
        assert await server.call("cash") == 5
        assert await server.call("cash") == 5

    run(test)
    assert caplog.text.count("the trace of Till failed") == 1


def test_a_server_that_is_busy_does_not_answer_in_time() -> None:
    clock = FakeClock()

    async def test(server: Till) -> None:
        gate = asyncio.Event()
        server.cast(gate)
        state = asyncio.ensure_future(sys.get_state(server, timeout=1.0))
        await clock.advance(1.1)
        with pytest.raises(CallTimeoutError, match="within 1 s to 'a question of sys'"):
            await state
        gate.set()

    run(test, clock)


def test_a_question_to_a_server_that_has_ended_fails_at_once() -> None:
    async def test(server: Till) -> None:
        gate = asyncio.Event()
        server.cast(gate)
        asked = asyncio.ensure_future(sys.get_state(server))
        await settle()
        await server.stop("brutal_kill")
        with pytest.raises(ServerDiedError, match="ended before it replied: killed"):
            await asked
        with pytest.raises(ServerDiedError, match="is not running"):
            await sys.get_state(server)

    run(test)


def test_threads_and_other_loops_may_ask_and_the_loops_own_thread_is_told_to_await() -> None:
    async def test(server: Till) -> None:
        state = await asyncio.to_thread(sys.from_thread, sys.get_state, server)
        assert state["cash"] == 5
        assert await asyncio.to_thread(lambda: asyncio.run(sys.get_state(server))) == state
        with pytest.raises(RuntimeError, match=r"await sys.get_state\(\)"):
            sys.from_thread(sys.get_state, server)

    run(test)
