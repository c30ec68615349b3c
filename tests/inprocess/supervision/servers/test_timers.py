"""Idle timeouts, absolute timers and the time that is left of a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess import TIMEOUT, GenServer, Stop, sys
from inprocess.testing import FakeClock, no_leaks, settle


class Session(GenServer):
    """Ends after a while without a request."""

    def init(self, seconds: float | None) -> None:
        self.seen: list[object] = []
        self.go_on = asyncio.Event()
        self.ends = False
        self.set_idle_timeout(seconds)

    async def handle_call(self, request: object, _caller: Any, /) -> object:
        self.seen.append(request)
        if request == "slow":
            await self.go_on.wait()
        return len(self.seen)

    def handle_cast(self, message: Any, /) -> None:
        self.set_idle_timeout(message)

    def handle_info(self, message: object, /) -> None:
        self.seen.append(message)
        if self.ends:
            raise Stop


def run(test: Callable[[FakeClock, Session], Awaitable[None]], seconds: float | None = 10.0) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with Session.start(seconds, clock=clock) as server:
            await test(clock, server)

    with no_leaks():
        asyncio.run(main())


def test_an_idle_server_is_told_again_and_again_until_the_timeout_is_taken_away() -> None:
    async def test(clock: FakeClock, server: Session) -> None:
        await clock.advance(9.9)
        assert server.seen == []
        await clock.advance(0.1)
        assert server.seen == [TIMEOUT]
        await clock.advance(10.0)
        assert server.seen == [TIMEOUT, TIMEOUT]
        server.cast(None)
        await clock.advance(3600)
        assert server.seen == [TIMEOUT, TIMEOUT]
        assert clock.pending == 0

    run(test)


def test_each_message_begins_the_timeout_anew() -> None:
    async def test(clock: FakeClock, server: Session) -> None:
        for number in range(5):
            await clock.advance(9.0)
            assert await server.call(number) == number + 1
        assert server.seen == [0, 1, 2, 3, 4]
        await clock.advance(10.0)
        assert server.seen[5:] == [TIMEOUT]

    run(test)


def test_a_server_that_handles_a_message_for_long_is_not_idle() -> None:
    async def test(clock: FakeClock, server: Session) -> None:
        call = asyncio.ensure_future(server.call("slow", timeout=None))
        await clock.advance(60.0)
        assert server.seen == ["slow"]
        server.go_on.set()
        assert await call == 1
        await clock.advance(9.0)
        assert server.seen == ["slow"]
        await clock.advance(1.0)
        assert server.seen == ["slow", TIMEOUT]

    run(test)


def test_a_suspended_server_does_not_time_out() -> None:
    async def test(clock: FakeClock, server: Session) -> None:
        await sys.suspend(server)
        await clock.advance(60.0)
        await sys.resume(server)
        assert server.seen == []
        await clock.advance(10.0)
        assert server.seen == [TIMEOUT]

    run(test)


def test_an_idle_server_may_end_itself() -> None:
    async def test(clock: FakeClock, server: Session) -> None:
        server.ends = True
        await clock.advance(10.0)
        assert str(server.exit) == "normal"

    run(test)


def test_another_timeout_takes_the_place_of_the_first() -> None:
    async def test(clock: FakeClock, server: Session) -> None:
        server.cast(2.0)
        await clock.advance(2.0)
        assert server.seen == [TIMEOUT]
        server.cast(30.0)
        await clock.advance(29.0)
        assert server.seen == [TIMEOUT]

    run(test)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_timeout_that_would_not_wait_is_refused(seconds: float) -> None:
    async def test(_clock: FakeClock, server: Session) -> None:
        with pytest.raises(ValueError, match="idle timeout"):
            server.set_idle_timeout(seconds)

    run(test, None)


def test_a_message_is_sent_at_a_moment_and_its_timer_tells_what_is_left() -> None:
    async def test(clock: FakeClock, server: Session) -> None:
        at = server.send_at(clock.now + 7.5, "at")
        after = server.send_after(7.5, "after")
        assert (at.seconds_left, after.seconds_left) == (7.5, 7.5)
        assert at.when == after.when == clock.now + 7.5
        await clock.advance(7.0)
        assert (at.seconds_left, after.seconds_left) == (0.5, 0.5)
        after.cancel()
        assert after.seconds_left is None
        await clock.advance(0.5)
        assert server.seen == ["at"]
        assert at.seconds_left is None
        server.send_at(clock.now - 100.0, "late")  # at once, as in OTP
        await clock.advance(0.0)
        assert server.seen == ["at", "late"]

    run(test, None)


def test_a_timer_whose_loop_is_late_has_nothing_left() -> None:
    async def test(clock: FakeClock, server: Session) -> None:
        timer = server.send_after(1.0, "x")
        clock.jump(5.0)
        assert timer.seconds_left == 0.0
        await clock.advance(0.0)
        await settle()
        assert server.seen == ["x"]

    run(test, None)
