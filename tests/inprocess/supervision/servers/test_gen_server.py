from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess import (
    NO_REPLY,
    AlreadyStartedError,
    Caller,
    CallTimeoutError,
    Exit,
    GenServer,
    ServerDiedError,
    Shutdown,
    StartError,
    Stop,
    Timer,
    whereis,
)
from inprocess.supervision.core import names
from inprocess.testing import FakeClock, settle


class Counter(GenServer):
    """Counts, remembers what it handled, and does as it is told."""

    def init(self, start: int = 0) -> None:
        self.count = start
        self.handled: list[object] = []
        self.ended: list[str] = []
        self.waiting: list[Caller] = []

    async def handle_call(self, request: Any, caller: Caller, /) -> Any:
        match request:
            case "count":
                return self.count
            case "later":
                self.waiting.append(caller)
                return NO_REPLY
            case "nothing":
                return None
            case "crash":
                raise ValueError("in a call")
            case "stop":
                caller.reply("stopping")
                raise Stop
            case "hang":
                await asyncio.get_running_loop().create_future()
        return super().handle_call(request, caller)

    def handle_cast(self, message: Any, /) -> Any:
        if message == "crash":
            raise ValueError("in a cast")
        if message == "shutdown":
            raise Shutdown
        if message == "continue":
            self.continue_with("promised")
        elif message == "unknown":
            return super().handle_cast(message)
        self.handled.append(message)
        self.count += 1
        return None

    def handle_info(self, message: Any, /) -> Any:
        if message == "unknown":
            return super().handle_info(message)
        self.handled.append(message)
        return None

    def handle_continue(self, argument: Any) -> None:
        self.handled.append(argument)

    def terminate(self, ended: Exit, /) -> None:
        self.ended.append(str(ended))


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_it_handles_one_message_after_the_other_in_the_order_they_came() -> None:
    async def test() -> None:
        async with Counter.start(5) as server:
            server.cast("a")
            server.info("b")
            server.cast("c")
            assert await server.call("count") == 7
            assert server.handled == ["a", "b", "c"]

    run(test)


def test_none_is_a_reply_like_any_other() -> None:
    async def test() -> None:
        async with Counter.start() as server:
            assert await server.call("nothing") is None

    run(test)


def test_a_reply_may_come_later_and_from_another_thread() -> None:
    async def test() -> None:
        async with Counter.start() as server:
            first = asyncio.ensure_future(server.call("later"))
            second = asyncio.ensure_future(server.call("later"))
            await settle()
            assert await server.call("count") == 0
            server.waiting[1].reply("second")
            assert await second == "second"
            await asyncio.to_thread(server.waiting[0].reply, "first")
            assert await first == "first"

    run(test)


def test_what_init_puts_off_runs_before_any_message() -> None:
    class Later(Counter):
        def init(self, start: int = 0) -> None:
            super().init(start)
            self.continue_with("first")

    async def test() -> None:
        async with Later.start() as server:
            server.cast("continue")
            server.cast("b")
            await server.call("count")
            assert server.handled == ["first", "continue", "promised", "b"]

    run(test)


def test_a_call_without_a_reply_fails_after_five_seconds_and_a_late_reply_is_dropped() -> None:
    async def test() -> None:
        clock = FakeClock()
        async with Counter.start(clock=clock) as server:
            call = asyncio.ensure_future(server.call("later"))
            await clock.advance(4.9)
            assert not call.done()
            await clock.advance(0.2)
            with pytest.raises(CallTimeoutError, match="Counter did not reply within 5 s to 'later'"):
                await call
            server.waiting[0].reply("too late")
            assert await server.call("count") == 0

    run(test)


@pytest.mark.parametrize("message", ["crash", "no such request"])
def test_a_caller_fails_at_once_when_the_server_crashes(
    message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        clock = FakeClock()
        server = Counter.start(clock=clock)
        with pytest.raises(ServerDiedError, match="Counter ended before it replied"):
            await server.call(message)
        assert clock.now == 1000.0  # without waiting for the time limit
        with pytest.raises(ServerDiedError, match="is not running"):
            await server.call("count")
        assert server.ended[0].startswith(("ValueError", "UnhandledMessageError"))

    run(test)
    assert "Counter crashed" in caplog.text


@pytest.mark.parametrize("message", ["crash", "unknown"])
def test_a_cast_that_crashes_or_is_unhandled_ends_the_server(
    message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        server = Counter.start()
        server.cast(message)
        assert (await server.wait()).kind == "crash"

    run(test)
    assert "Counter crashed" in caplog.text


def test_an_unhandled_info_is_logged_and_passes(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Counter.start() as server:
            server.info("unknown")
            assert await server.call("count") == 0

    run(test)
    assert "unexpected info and passed over it: 'unknown'" in caplog.text


def test_stop_in_a_handler_is_a_normal_end_and_shutdown_is_one_too(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        stopped, shut_down = Counter.start(), Counter.start()
        assert await stopped.call("stop") == "stopping"
        shut_down.cast("shutdown")
        assert [str(await server.wait()) for server in (stopped, shut_down)] == ["normal", "shutdown"]
        assert [server.ended for server in (stopped, shut_down)] == [["normal"], ["shutdown"]]

    run(test)
    assert caplog.records == []


def test_a_request_to_stop_goes_before_the_messages_that_wait() -> None:
    async def test() -> None:
        server = Counter.start()
        await settle()
        server.cast("a")
        await server.stop()
        assert (server.handled, server.ended, str(server.exit)) == ([], ["shutdown"], "shutdown")

    run(test)


def test_a_handler_that_does_not_end_is_cancelled_at_the_limit_and_terminate_is_left_out() -> None:
    async def test() -> None:
        clock = FakeClock()
        server = Counter.start(clock=clock)
        call = asyncio.ensure_future(server.call("hang", timeout=60.0))
        await settle()
        stopping = asyncio.ensure_future(server.stop(2.0))
        await clock.advance(1.9)
        assert server.exit is None
        await clock.advance(0.2)
        await stopping
        assert (str(server.exit), server.ended) == ("killed", [])
        with pytest.raises(ServerDiedError):
            await call

    run(test)


def test_a_killed_server_ends_though_its_handler_swallows_the_cancellation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stubborn(Counter):
        async def handle_cast(self, message: Any, /) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.handled.append(message)

    async def test() -> None:
        server = Stubborn.start()
        server.cast("first")
        server.cast("second")
        await settle()
        await server.stop("brutal_kill")
        assert (server.handled, server.ended, str(server.exit)) == (["first"], [], "killed")

    run(test)
    assert caplog.records == []  # it was not abandoned


def test_a_server_killed_before_its_first_turn_has_ended() -> None:
    async def test() -> None:
        server = Counter.start(name="brief")
        server.kill()
        assert str(await server.wait()) == "killed"
        await server.ready()
        assert whereis("brief") is None

    run(test)


def test_a_timer_sends_an_info_unless_it_is_cancelled() -> None:
    async def test() -> None:
        clock = FakeClock()
        async with Counter.start(clock=clock) as server:
            server.send_after(1.0, "kept")
            dropped: Timer = server.send_after(1.0, "dropped")
            dropped.cancel()
            await clock.advance(0.9)
            assert server.handled == []
            await clock.advance(0.2)
            assert server.handled == ["kept"]

    run(test)


def test_a_plain_init_that_fails_makes_start_fail_and_frees_the_name() -> None:
    class Broken(GenServer):
        def init(self) -> None:
            raise ValueError("no disk")

    async def test() -> None:
        with pytest.raises(StartError, match=r"broken could not start: ValueError\('no disk'\)"):
            Broken.start(name="broken")
        assert whereis("broken") is None

    run(test)


def test_an_async_init_is_waited_for_by_ready_and_messages_wait_for_it() -> None:
    class Slow(Counter):
        async def init(self, gate: asyncio.Event) -> None:  # type: ignore[override]  # an init takes what it likes
            await gate.wait()
            super().init(1)

    class Broken(GenServer):
        async def init(self) -> None:
            await asyncio.sleep(0)
            raise ValueError("no network")

    async def test() -> None:
        gate = asyncio.Event()
        server = Slow.start(gate)
        server.cast("early")
        await settle()
        gate.set()
        async with server:
            assert await server.call("count") == 2
        with pytest.raises(StartError, match="no network"):
            await Broken.start().ready()

    run(test)


def test_names_are_unique() -> None:
    async def test() -> None:
        async with Counter.start(name="counter") as server:
            assert whereis("counter") is server
            with pytest.raises(AlreadyStartedError):
                Counter.start(name="counter")

    run(test)


def test_a_server_whose_loop_was_closed_under_it_loses_its_name() -> None:
    async def left_behind() -> None:
        await Counter.start(name="counter").ready()

    async def test() -> None:
        left = whereis("counter")
        async with Counter.start(name="counter") as server:
            assert whereis("counter") is server
            assert left is not None
            names.unregister("counter", left)
            assert whereis("counter") is server

    asyncio.run(left_behind())
    asyncio.run(test())
    assert whereis("counter") is None


def test_threads_may_call_and_cast_and_the_loops_own_thread_is_told_to_await() -> None:
    async def test() -> None:
        async with Counter.start() as server:
            await asyncio.to_thread(server.cast, "from a thread")
            assert await asyncio.to_thread(server.call_from_thread, "count") == 1
            with pytest.raises(RuntimeError, match="await call"):
                server.call_from_thread("count")

    run(test)


def test_another_loop_may_call() -> None:
    async def test() -> None:
        async with Counter.start(3) as server:
            replies: list[int] = []
            other = threading.Thread(target=lambda: replies.append(asyncio.run(server.call("count"))))
            other.start()
            await asyncio.to_thread(other.join)
            assert replies == [3]

    run(test)


def test_a_server_that_calls_itself_crashes_with_the_reason_instead_of_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Loopy(GenServer):
        async def handle_call(self, request: Any, _caller: Caller, /) -> Any:
            return await self.call(request)

    async def test() -> None:
        with pytest.raises(ServerDiedError, match="calls itself"):
            await Loopy.start().call("x")

    run(test)
    assert "calls itself" in caplog.text


def test_a_burst_of_messages_leaves_the_loop_its_turns() -> None:
    async def test() -> None:
        async with Counter.start() as server:
            for _ in range(1000):
                server.cast("x")
            await settle(5)
            assert 0 < server.count < 1000
            assert await server.call("count") == 1000

    run(test)
