"""The grid of a periodic job: which tick a run belongs to, and its phase without the wraps.

A run belongs to tick k if g_k ≤ s < g_k + T, with g_k = t0 + k·T. A start may come `GUARD_NS`
before its tick and still belong to it, since timers fire slightly early; `ESTIMATED_GUARD_NS` where the
origin is estimated. Such an origin is as uncertain as the starts that it was estimated from: a start a few
ms before the earliest of them belongs to its own tick, and is no duplicate of the tick before.

**Unwrapping.** A policy that drifts slides through the tick: once its phase exceeds T, a run
falls into the tick after the next, that tick's neighbour counts as missed (there is one run
fewer than ticks due), and the phase seems to jump back by T. The unwrapped phase does not jump:

1. the phase falls by more than T/2 *and* a tick was passed over: a wrap, add T from here on;
2. the phase rises by more than T/2 *and* a duplicate lies between: a policy that runs fast
   slid out at the front, subtract T from here on;
3. anything else (a late tick, a stall, a missed tick that is followed by one in phase) is no wrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Nanoseconds that a start may come before its tick and still belong to it.
GUARD_NS = 5_000_000
#: The same where the origin is estimated: as far as a start may be late and on time.
ESTIMATED_GUARD_NS = 50_000_000
#: How many of the first starts the origin is estimated from.
ORIGIN_STARTS = 5
#: A start within T divided by this of the one before is a duplicate and is not used for the origin.
_CLOSE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Ticks 0 … count - 1, the first at `first_ns`, `interval_ns` apart; each lies wholly in the window."""

    first_ns: int
    interval_ns: int
    count: int
    guard_ns: int = GUARD_NS

    def due(self, tick: int) -> int:
        """The moment of a tick, in ns."""
        return self.first_ns + tick * self.interval_ns

    def tick(self, start: int) -> int:
        """The tick that a start belongs to; outside 0 … count - 1 for a start outside the window."""
        return (start - self.first_ns + self.guard_ns) // self.interval_ns


def make_grid(
    start_ns: int, end_ns: int, interval_ns: int, origin_ns: int, *, guard_ns: int = GUARD_NS
) -> Grid:
    """The ticks in phase with the origin that lie, with their whole interval, in start … end."""
    first = start_ns + (origin_ns - start_ns) % interval_ns
    count = max(0, (end_ns - first) // interval_ns)
    return Grid(first_ns=first, interval_ns=interval_ns, count=count, guard_ns=guard_ns)


def estimate_origin(starts: Sequence[int], interval_ns: int) -> int:
    """The earliest phase among the first five starts: min over k < 5 of s_k - k·T.

    For a policy that keeps its grid to itself (Celery beat). Raise ValueError without a start.
    """
    if not starts:
        raise ValueError("an origin needs at least one start")
    kept = [starts[0]]
    for start in starts:
        if start - kept[-1] >= interval_ns // _CLOSE:
            kept.append(start)
    return min(start - k * interval_ns for k, start in enumerate(kept[:ORIGIN_STARTS]))


def wraps(grid: Grid, starts: Sequence[int]) -> dict[int, int]:
    """For each tick that has a run the number of wraps before it; `starts` ascend."""
    firsts: dict[int, int] = {}
    doubled: set[int] = set()
    for start in starts:
        tick = grid.tick(start)
        if tick in firsts:
            doubled.add(tick)
        firsts.setdefault(tick, start)
    wrapped = dict.fromkeys(list(firsts)[:1], 0)
    for (before, at_before), (tick, at) in pairwise(firsts.items()):
        change = (at - grid.due(tick)) - (at_before - grid.due(before))
        slid_back = tick - before > 1 and change < -grid.interval_ns / 2
        slid_ahead = before in doubled and change > grid.interval_ns / 2
        wrapped[tick] = wrapped[before] + slid_back - slid_ahead
    return wrapped
