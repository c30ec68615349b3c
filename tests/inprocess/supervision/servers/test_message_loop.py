"""The message loop of GenServer: mailbox, turns, contexts and time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocess import NO_REPLY, Caller, CallTimeoutError, GenServer, ServerDiedError
from inprocess.supervision.core import telemetry
from inprocess.supervision.servers import sys
from inprocess.testing import FakeClock, settle

who: ContextVar[str] = ContextVar("who", default="nobody")


class Doer(GenServer):
    """Does what the message says, a function of the server."""

    def init(self) -> None:
        self.done: list[Any] = []

    def handle_call(self, request: Any, caller: Caller, /) -> Any:
        if isinstance(request, list):
            request.append(caller)
            return NO_REPLY
        return request(self)

    def handle_cast(self, message: Callable[[Any], Any], /) -> Any:
        return message(self)

    def handle_continue(self, argument: Any) -> None:
        self.done.append(argument)


def run(test: Callable[[Doer], Awaitable[Any]], clock: FakeClock | None = None) -> None:
    async def main() -> None:
        async with Doer.start(clock=clock) as server:
            await test(server)

    asyncio.run(main())


def test_a_server_whose_handlers_are_plain_has_no_task() -> None:
    async def test(server: Doer) -> None:
        tasks = await server.call(lambda _server: len(asyncio.all_tasks()))
        assert tasks == len(asyncio.all_tasks()) == 1

    run(test)


def test_a_handler_that_awaits_has_a_task_until_the_mailbox_is_empty() -> None:
    gate = asyncio.Event()

    async def wait(server: Doer) -> None:
        async with asyncio.timeout(60):  # works from the first line
            await gate.wait()
        task = asyncio.current_task()
        assert task is not None
        server.done.append(task.get_name())

    async def test(server: Doer) -> None:
        server.cast(wait)
        server.cast(lambda server: server.done.append("plain"))
        await settle()
        assert (server.mailbox_depth, len(asyncio.all_tasks())) == (1, 2)
        gate.set()
        await settle()
        assert server.done == ["Doer", "plain"]
        assert len(asyncio.all_tasks()) == 1

    run(test)


def test_handlers_keep_a_context_of_their_own_and_see_nothing_of_their_callers() -> None:
    async def test(server: Doer) -> None:
        other = Doer.start()
        who.set("a caller")
        assert await server.call(lambda _server: who.get()) == "the starter"
        await server.call(lambda _server: who.set("the server"))
        assert await server.call(lambda _server: who.get()) == "the server"
        assert await other.call(lambda _server: who.get()) == "the starter"
        assert who.get() == "a caller"

        async def later(_server: Doer) -> str:
            await asyncio.sleep(0)
            return who.get()

        assert await server.call(later) == "the server"
        await other.stop()

    who.set("the starter")
    run(test)


OPERATIONS = st.lists(
    st.sampled_from(["plain", "awaits", "continues", "awaits and continues", "turn", "suspend", "resume"])
)


def promises(kind: str, k: int) -> list[str]:
    return [f"promise {k}a", f"promise {k}b"] if "continues" in kind else []


def message(kind: str, k: int) -> Callable[[Doer], Any]:
    """A message that notes when it begins and ends, and promises something in between."""

    def plain(server: Doer) -> None:
        server.done.append(f"begin {k}")
        for promise in promises(kind, k):
            server.continue_with(promise)
        server.done.append(f"end {k}")

    async def awaits(server: Doer) -> None:
        server.done.append(f"begin {k}")
        await asyncio.sleep(0)
        for promise in promises(kind, k):
            server.continue_with(promise)
        server.done.append(f"end {k}")

    return awaits if "awaits" in kind else plain


@given(OPERATIONS)
def test_messages_are_handled_one_by_one_in_order_and_promises_before_them(operations: list[str]) -> None:
    expected: list[str] = []

    async def test(server: Doer) -> None:
        for k, operation in enumerate(operations):
            if operation == "turn":
                await asyncio.sleep(0)
            elif operation in {"suspend", "resume"}:
                await getattr(sys, operation)(server)
            else:
                server.cast(message(operation, k))
                expected.extend([f"begin {k}", f"end {k}"])
                expected.extend(promises(operation, k))
        await sys.resume(server)
        await server.call(lambda _server: None)
        assert server.done == expected
        assert server.mailbox_depth == 0

    run(test)


def test_calls_of_one_time_out_share_a_timer_and_expire_in_their_order() -> None:
    clock = FakeClock()

    async def test(server: Doer) -> None:
        failed: list[str] = []

        async def call(name: str, seconds: float) -> None:
            with pytest.raises(CallTimeoutError):
                await server.call(lambda _server: NO_REPLY, timeout=seconds)
            failed.append(name)

        calls = [asyncio.ensure_future(call("first", 5.0))]
        await clock.advance(1.0)
        calls += [asyncio.ensure_future(call("second", 5.0)), asyncio.ensure_future(call("short", 1.0))]
        await settle()
        assert (server.scheduler.armed, clock.pending) == (2, 1)
        await clock.advance(1.5)
        assert failed == ["short"]
        await clock.advance(3.0)
        assert failed == ["short", "first"]
        await clock.advance(1.0)
        assert failed == ["short", "first", "second"]
        await asyncio.gather(*calls)
        assert (server.scheduler.armed, server.scheduler.deadlines) == (0, {})

    run(test, clock)


def test_a_call_may_wait_for_ever() -> None:
    clock = FakeClock()

    async def test(server: Doer) -> None:
        callers: list[Caller] = []
        call = asyncio.ensure_future(server.call(callers, timeout=float("inf")))
        await clock.advance(1e6)
        callers[0].reply("at last")
        assert await call == "at last"
        assert clock.pending == 0

    run(test, clock)


def test_a_caller_that_was_handed_on_is_answered_by_another_server_after_the_first_ended() -> None:
    class Front(GenServer):
        def init(self, back: GenServer) -> None:
            self.back = back

        def handle_call(self, _request: Any, caller: Caller, /) -> Any:
            self.back.cast(caller)
            return NO_REPLY

    class Back(GenServer):
        def handle_cast(self, message: Caller, /) -> None:
            message.reply("from the back")

    async def main() -> None:
        async with Back.start() as back, Front.start(back) as front:
            assert await front.call("x") == "from the back"
            await sys.suspend(back)
            call = asyncio.ensure_future(front.call("x"))
            await settle()
            await back.stop()
            assert not call.done()  # it is the front's caller
            await front.stop()
            with pytest.raises(ServerDiedError, match="Front ended"):
                await call

    asyncio.run(main())


def test_spans_are_executed_where_a_handler_is_attached() -> None:
    seen: list[tuple[Any, ...]] = []
    events = [
        ("gen_server", kind, step)
        for kind in ("call", "cast", "info", "terminate")
        for step in ("start", "stop", "exception")
    ]

    async def later(_server: Doer) -> str:
        await asyncio.sleep(0)
        seen.append(("awaited",))
        return "reply"

    def crash(_server: Doer) -> None:
        raise ValueError("no")

    async def main() -> None:
        server = Doer.start(name="watched")
        assert await server.call(later) == "reply"
        server.info("x")
        server.cast(crash)
        await server.wait()

    telemetry.attach(
        "test", events, lambda event, _numbers, about: seen.append((*event[1:], about["server"]))
    )
    try:
        asyncio.run(main())
    finally:
        telemetry.detach("test")
    assert seen == [
        ("call", "start", "watched"),
        ("awaited",),
        ("call", "stop", "watched"),
        ("info", "start", "watched"),
        ("info", "stop", "watched"),
        ("cast", "start", "watched"),
        ("cast", "exception", "watched"),
        ("terminate", "start", "watched"),
        ("terminate", "stop", "watched"),
    ]


def test_a_server_whose_loop_has_ended_takes_no_messages() -> None:
    async def start() -> Doer:
        return Doer.start()

    server = asyncio.run(start())
    server.cast(print)
    server.info("x")

    async def main() -> None:
        with pytest.raises(ServerDiedError, match="is not running"):
            await server.call(print)

    asyncio.run(main())


def test_the_moment_of_the_start_is_kept_and_shared_by_those_that_start_together() -> None:
    async def main() -> None:
        clock = FakeClock(50.0)
        first, second = Doer.start(clock=clock), Doer.start(clock=clock)
        await clock.advance(1.0)
        third = Doer.start(clock=clock)
        assert (first.started_at, third.started_at) == (50.0, 51.0)
        assert first.started_at is second.started_at

    asyncio.run(main())
