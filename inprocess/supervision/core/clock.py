"""Clocks: where the runtime reads the time and sets its timers.

`LoopClock` is the real one. `inprocess.testing.FakeClock` moves only when a test moves it, so that
restart windows, timers and grids are tested at once and exactly. All times are in seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol


class Timer(Protocol):
    """A callback that will be called later."""

    def cancel(self) -> None:
        """Do not call it. Has no effect after the call."""


class Clock(Protocol):
    """A monotonic clock with one-shot timers."""

    def monotonic(self) -> float:
        """Return seconds since some moment in the past. Never goes back, whatever the wall clock does."""

    def wall(self) -> float:
        """Return seconds since 1970, UTC. Jumps when the wall clock is set."""

    def call_later(self, seconds: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once, after `seconds`, on the loop's thread."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once, when `monotonic()` reaches `when`, on the loop's thread."""


class LoopClock:
    """The clock of an event loop: `time.monotonic`, unless the loop has another."""

    __slots__ = ("_call_at", "_call_later", "monotonic", "wall")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time
        self.wall = time.time
        self._call_at = loop.call_at
        self._call_later = loop.call_later

    def call_later(self, seconds: float, callback: Callable[[], object], /) -> Timer:
        """See `Clock.call_later`."""
        return self._call_later(seconds, callback)

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """See `Clock.call_at`."""
        return self._call_at(when, callback)


#: Clocks of `time.clock_gettime` that do and that do not count while the machine is suspended.
_WITH_SUSPENDS: Final = getattr(time, "CLOCK_BOOTTIME", None)
_WITHOUT: Final = getattr(time, "CLOCK_MONOTONIC", None)


def suspended_s() -> float:
    """Return for how many seconds the machine was suspended since its start; `monotonic` does not count them.

    0.0 on systems that do not tell; Linux does.
    """
    if _WITH_SUSPENDS is None or _WITHOUT is None:
        return 0.0
    return time.clock_gettime(_WITH_SUSPENDS) - time.clock_gettime(_WITHOUT)


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait for `seconds` of this clock."""
    woken = asyncio.get_running_loop().create_future()
    timer = clock.call_later(seconds, lambda: settle(woken))
    try:
        await woken
    finally:
        timer.cancel()


def settle(future: asyncio.Future[None]) -> None:
    """Set the future's result to None, unless it is done already."""
    if not future.done():
        future.set_result(None)
