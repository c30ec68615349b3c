"""FixedDelay: the article's naive periodic server, for comparison.

It runs its work, waits for the interval, and starts again. Every later run is late by the duration of the
work, and a stall of the loop delays all later runs. Time in which the machine was suspended counts as a part
of the interval. Use Periodic.
"""

from __future__ import annotations

from asyncio import _get_running_loop  # exported; unlike the public one it raises nothing
from typing import Self

from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.scheduler import Scheduler, scheduler_of
from inprocess.supervision.periodic.timer_process import (
    NEVER,
    Spawn,
    TimerProcess,
    elsewhere,
    scheduler_here,
)


class FixedDelay(TimerProcess):
    """Runs one interval after the start, and one interval after each run has ended. Created by `start`."""

    __slots__ = ("_is_quiet", "interval_s")

    interval_s: float
    _is_quiet: bool

    @classmethod
    def start(
        cls, spawn: Spawn, *, interval_s: float, name: str | None = None, clock: Clock | None = None
    ) -> Self:
        """Start a server as `Periodic.start` does; raise ValueError for an interval not above 0."""
        if not interval_s > 0:
            raise ValueError(f"the interval is {interval_s} s: expected more than 0")
        loop = _get_running_loop()
        if loop is None:
            return elsewhere(lambda: cls(spawn, interval_s, name, scheduler_here(clock)))
        return cls(spawn, interval_s, name, scheduler_of(loop, clock))

    def __init__(self, spawn: Spawn, interval_s: float, name: str | None, scheduler: Scheduler) -> None:
        super().__init__(spawn, name, scheduler)
        self.interval_s = interval_s
        self._is_quiet = False
        self._rearm()

    def quiet(self) -> None:
        """See `TimerProcess.quiet`."""
        self._is_quiet = True
        super().quiet()

    @property
    def waits_since(self) -> float:
        """See `TimerProcess.waits_since`: the end of the last run."""
        return self._when - self.interval_s

    def clock_moved(self, suspended_s: float) -> None:
        """See `TimerProcess.clock_moved`: a suspend is a part of the interval."""
        if self._when != NEVER and suspended_s:
            self._arm(self._when - suspended_s)
            self.scheduler.forget()  # the moment that it waited for

    def _tick(self, when: float) -> None:
        """Start a run, and re-arm when it has ended."""
        run = self._spawned(self.scheduler.monotonic() - when)
        if run is None:
            self._rearm()
        else:
            run.monitor(self._run_ended)

    def _run_ended(self, _ended: Exit) -> None:
        self._current = None
        if self.exit is None:
            self._rearm()

    def _rearm(self) -> None:
        if not self._is_quiet:
            self._arm(self.scheduler.monotonic() + self.interval_s)


#: The article's name for it, which the policy `work-then-rearm` has too.
WorkThenRearm = FixedDelay
