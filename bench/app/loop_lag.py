"""The lag of an event loop: a ticker on a 10 ms grid that records how late each tick ran.

A stall delays every tick that it covers, not only the first.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

#: Nanoseconds between two ticks.
INTERVAL_NS = 10_000_000
#: Ticks held until `take`: ten minutes.
MAX_TICKS = 60_000


class Ticker:
    """Records (due time in monotonic ns, lag in ms) of each tick; `run` it as a task of the loop."""

    def __init__(self) -> None:
        self._ticks: deque[tuple[int, float]] = deque(maxlen=MAX_TICKS)

    async def run(self) -> None:
        """Tick until cancelled."""
        due = time.monotonic_ns()
        while True:
            due += INTERVAL_NS
            await asyncio.sleep((due - time.monotonic_ns()) / 1e9)
            self._ticks.append((due, (time.monotonic_ns() - due) / 1e6))

    def take(self) -> list[tuple[int, float]]:
        """Every tick since the last call, oldest first."""
        taken = list(self._ticks)
        self._ticks.clear()
        return taken
