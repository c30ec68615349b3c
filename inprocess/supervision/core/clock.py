"""Time, as everything in this package sees it: a monotonic reading and one-shot timers.

`LoopClock` is the real one; `inprocess.testing.FakeClock` moves only when it is told to, so
that restart windows, timers and grids are tested at once and without luck. Seconds throughout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A callback that has been put off."""

    def cancel(self) -> None:
        """Call it no more; harmless after it was called."""


class Clock(Protocol):
    """Where the time comes from."""

    def monotonic(self) -> float:
        """Seconds since some moment in the past; never goes back, whatever the wall clock does."""

    def call_later(self, seconds: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once, `seconds` from now, on the loop's thread."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once, when `monotonic` reads `when`, on the loop's thread."""


class LoopClock:
    """The clock of an event loop, which is `time.monotonic` unless the loop says otherwise."""

    __slots__ = ("_call_at", "_call_later", "monotonic")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time
        self._call_at = loop.call_at
        self._call_later = loop.call_later

    def call_later(self, seconds: float, callback: Callable[[], object], /) -> Timer:
        """As `Clock.call_later`."""
        return self._call_later(seconds, callback)

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """As `Clock.call_at`."""
        return self._call_at(when, callback)


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait for `seconds` of that clock."""
    woken = asyncio.get_running_loop().create_future()
    timer = clock.call_later(seconds, lambda: settle(woken))
    try:
        await woken
    finally:
        timer.cancel()


def settle(future: asyncio.Future[None]) -> None:
    """Wake whoever awaits the future; do nothing where it was woken or cancelled before."""
    if not future.done():
        future.set_result(None)
