"""The lag of an event loop: a ticker anchored to a 10 ms grid that notes how late it was woken.

A stall is charged to every tick that it covers, not only to the first.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

#: Nanoseconds between two ticks.
INTERVAL_NS = 10_000_000
#: Ticks kept until somebody takes them: ten minutes' worth.
KEPT = 60_000


class Ticker:
    """Notes (due time in monotonic ns, lag in ms) of each tick; `run` it as a task of the loop."""

    def __init__(self) -> None:
        self._ticks: deque[tuple[int, float]] = deque(maxlen=KEPT)

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
