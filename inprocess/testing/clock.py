"""A clock that moves only when a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from inprocess.supervision.core.scheduler import schedulers_of
from inprocess.supervision.periodic.timer_process import clocks_moved

#: Turns of the loop after each step of the clock, in which tasks react to it.
SETTLE_TURNS = 25


async def settle(turns: int = SETTLE_TURNS) -> None:
    """Run everything that is ready on the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


class FakeTimer:
    """A callback that waits for `FakeClock.advance`."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not call it."""
        self.callback = None


class FakeClock:
    """A clock that stands still until `advance`; timers fire in order, at exactly their time."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._wall_ahead = 0.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        """Return the current time, s."""
        return self.now

    def wall(self) -> float:
        """Return the time of the wall clock, s; that of `monotonic` until `suspend` or `set_wall`."""
        return self._wall_ahead + self.now

    def call_later(self, seconds: float, callback: Callable[[], object], /) -> FakeTimer:
        """See `Clock.call_later`."""
        return self.call_at(self.now + seconds, callback)

    def call_at(self, when: float, callback: Callable[[], object], /) -> FakeTimer:
        """See `Clock.call_at`."""
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        """Number of armed timers."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, stop at each timer on the way, and let the loop settle each time."""
        await settle()
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, due)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
                await settle()
        self.now = end

    def set_wall(self, moment: float) -> None:
        """Set the wall clock, seconds since 1970; `monotonic` does not notice."""
        self._wall_ahead = moment - self.now
        self._tell(0.0)

    def suspend(self, seconds: float) -> None:
        """Suspend the machine for `seconds`: the wall clock goes on, and `monotonic` does not."""
        self._wall_ahead += seconds
        self._tell(seconds)

    def _tell(self, suspended_s: float) -> None:
        for scheduler in list(schedulers_of(asyncio.get_running_loop())):
            if scheduler.clock is self:
                clocks_moved(scheduler, suspended_s)

    def jump(self, seconds: float) -> None:
        """Move on by `seconds` at once, as if the loop was blocked; `advance` then fires the late timers."""
        self.now += seconds
