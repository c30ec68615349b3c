"""Grid: the moments t0 + k * interval, computed anew from t0 each time so that nothing adds up.

Monotonic seconds. A tick that is late, jittered, skipped or run twice moves no other tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def moment(t0: float, interval_s: float, k: int) -> float:
    """When tick `k` of the grid is due."""
    return t0 + k * interval_s


def last_tick(t0: float, interval_s: float, now: float) -> int:
    """The last tick of the grid that is due at `now`."""
    k = math.floor((now - t0) / interval_s)
    return k + 1 if t0 + (k + 1) * interval_s <= now else k  # the division may round the wrong way


def wall_origin(interval_s: float, *, monotonic: float, wall: float) -> float:
    """The t0 whose ticks fall on whole multiples of the interval since 1970, UTC.

    So replicas, and a successor after a hand-over, tick at the same moments of the day as
    their predecessor did. `monotonic` and `wall` are readings of one moment, s. A step that
    the wall clock makes later is not followed: the grid stays a monotonic one.
    """
    return monotonic - wall % interval_s


@dataclass(frozen=True, slots=True)
class Grid:
    """The moments t0 + k * interval; raise ValueError for an interval not above 0."""

    t0: float
    interval_s: float

    def __post_init__(self) -> None:
        if not 0 < self.interval_s < math.inf:
            raise ValueError(f"the interval is {self.interval_s} s: expected more than 0")

    def at(self, k: int) -> float:
        """When tick `k` is due."""
        return moment(self.t0, self.interval_s, k)

    def last(self, now: float) -> int:
        """The last tick that is due at `now`."""
        return last_tick(self.t0, self.interval_s, now)
