"""Periodic work: on an absolute grid, or, for comparison, work and then re-arm.

| server         | next run                      | work takes long                 | the loop stalls      |
|----------------|-------------------------------|---------------------------------|----------------------|
| Anchored       | t0 + kT, whatever happened    | next tick skipped and counted   | misfires counted     |
| WorkThenRearm  | T after the last one finished | every later run is that late    | late for good        |

Both start the work through `spawn`, a plain function that calls some TaskSupervisor's
`start_child` and returns what that returned: a run that crashes is logged there, its server
and its grid go on. The first run is one interval after the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inprocess.supervision.child import Child
from inprocess.supervision.errors import Refused
from inprocess.supervision.gen_server import GenServer
from inprocess.supervision.process import log

if TYPE_CHECKING:
    from inprocess.supervision.clock import Timer

Spawn = Callable[[], Child | Refused]

_TICK = object()


@dataclass(frozen=True, slots=True)
class Grid:
    """The moments t0 + k * interval, in monotonic seconds; raise ValueError for an interval not above 0."""

    t0: float
    interval_s: float

    def __post_init__(self) -> None:
        if not self.interval_s > 0:
            raise ValueError(f"the interval is {self.interval_s} s: expected more than 0")

    def at(self, k: int) -> float:
        """When tick `k` is due."""
        return self.t0 + k * self.interval_s

    def last(self, now: float) -> int:
        """The last tick that is due at `now`."""
        k = math.floor((now - self.t0) / self.interval_s)
        return k + 1 if self.at(k + 1) <= now else k  # the division may round the wrong way


@dataclass(slots=True)
class TickCounts:
    """What became of the ticks: `runs` started; the others were skipped, each for one reason."""

    runs: int = 0
    #: The tick's interval had passed before the server got to it.
    misfires: int = 0
    #: The run before was not finished.
    overlaps: int = 0
    #: The supervisor took no more work.
    refusals: int = 0


class _Periodic(GenServer):
    """What both have in common: a timer, what to spawn, and counts."""

    spawn: Spawn
    counts: TickCounts
    _timer: Timer | None = None
    _is_quiet = False

    def quiet(self) -> None:
        """Start no more runs."""
        self._is_quiet = True
        if self._timer is not None:
            self._timer.cancel()

    def terminate(self, _ended: object, /) -> None:
        """Tick no more; a run that has begun is its supervisor's."""
        self.quiet()

    def _arm(self, seconds: float) -> None:
        if not self._is_quiet:
            self._timer = self.send_after(max(0.0, seconds), _TICK)

    def _spawned(self) -> Child | None:
        if self._is_quiet:
            return None
        run = self.spawn()
        if isinstance(run, Refused):
            self.counts.refusals += 1
            log.warning("%s could not start a run: %s", self.name, run.text)
            return None
        self.counts.runs += 1
        return run


class Anchored(_Periodic):
    """Runs on the grid t0 + kT; a restart with the same `t0` keeps the grid."""

    def init(self, spawn: Spawn, *, interval_s: float, t0: float | None = None) -> None:
        """Tick at `t0 + k * interval_s` from the first that lies ahead; t0 is now by default."""
        now = self.clock.monotonic()
        self.spawn = spawn
        self.counts = TickCounts()
        self.grid = Grid(now if t0 is None else t0, interval_s)
        self._current: Child | None = None
        self._arm_for(self.grid.last(now) + 1)

    def handle_info(self, message: object, /) -> None:
        """Run the tick that is due now, count those that went by, and re-arm."""
        if message is not _TICK:
            super().handle_info(message)
            return
        due = max(self._next, self.grid.last(self.clock.monotonic()))
        self.counts.misfires += due - self._next
        self._arm_for(due + 1)
        if self._current is not None and self._current.exit is None:
            self.counts.overlaps += 1
        else:
            self._current = self._spawned()

    def _arm_for(self, k: int) -> None:
        self._next = k
        self._arm(self.grid.at(k) - self.clock.monotonic())


class WorkThenRearm(_Periodic):
    """The article's naive server: waits for each run, then for the interval. It drifts by what each takes."""

    def init(self, spawn: Spawn, *, interval_s: float) -> None:
        """Run `interval_s` after the start, and after each run."""
        self.spawn = spawn
        self.counts = TickCounts()
        self.interval_s = interval_s
        self._arm(interval_s)

    async def handle_info(self, message: object, /) -> None:
        """Work, then re-arm."""
        if message is not _TICK:
            super().handle_info(message)
            return
        run = self._spawned()
        if run is not None:
            await run.wait()
        self._arm(self.interval_s)
