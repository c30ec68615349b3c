"""Grid: the moments t0 + k * interval, each computed from t0, so that no error adds up.

Monotonic seconds. A tick that is late, jittered, skipped or run twice does not move any other tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def moment(t0: float, interval_s: float, k: int) -> float:
    """Return when tick `k` of the grid is due."""
    return t0 + k * interval_s


def last_tick(t0: float, interval_s: float, now: float) -> int:
    """Return the number of the last tick that is due at `now`."""
    k = math.floor((now - t0) / interval_s)
    return k + 1 if t0 + (k + 1) * interval_s <= now else k  # the division may round up or down


def wall_origin(interval_s: float, *, monotonic: float, wall: float) -> float:
    """Return a t0 whose ticks fall on whole multiples of the interval since 1970, UTC.

    With it, replicas and a successor after a restart tick at the same moments of the day. `monotonic` and
    `wall` are readings of one moment, s. The grid stays monotonic: it does not follow a later step of the
    wall clock.
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
        """Return when tick `k` is due."""
        return moment(self.t0, self.interval_s, k)

    def last(self, now: float) -> int:
        """Return the number of the last tick that is due at `now`."""
        return last_tick(self.t0, self.interval_s, now)
