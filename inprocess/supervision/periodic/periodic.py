"""Periodic: starts a run at each tick of an absolute grid, t0 + k * interval.

- The grid is computed from t0 each time, so neither long runs, nor a loop that stalls, nor jitter delay
  later ticks. A restart with the same `t0` keeps the grid.
- For ticks that come too soon or too late, see `policies`.
- `spawn` starts the work. It is a plain function such as `partial(tasks.start_child, sync, owner)`: a
  run that crashes is logged by that supervisor, and the grid goes on. If `spawn` itself raises, the
  server crashes.
- The first tick is the first moment of the grid in the future. t0 is the start by default, so the first
  tick is one interval later.

Servers with the same t0 and interval tick in the same moment, one after the other: of 10,000 the last is
late by 10,000 starts, about 0.1 s. Give them different t0s, or jitter.

An idle server is one object and one entry in the heap of its loop's scheduler: no task, no mailbox, no
timer of the loop. OTP has no such server. Its nearest, `timer:send_interval` to a gen_server, does not
report missed ticks and loses its grid when it restarts.

    >>> import asyncio
    >>> from inprocess.testing import FakeClock
    >>> async def main() -> list[float]:
    ...     clock, seen = FakeClock(0.0), []
    ...     server = Periodic.start(lambda: seen.append(clock.now), interval_s=10.0, clock=clock)
    ...     await clock.advance(35.0)
    ...     await server.stop()
    ...     return seen
    >>> asyncio.run(main())
    [10.0, 20.0, 30.0]
"""

from __future__ import annotations

import asyncio
import random
from asyncio import _get_running_loop  # exported; unlike the public one it raises nothing
from contextvars import copy_context
from functools import partial
from math import inf
from typing import Final, Self, TypeVar

from inprocess.supervision.core import names
from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.contexts import EMPTY
from inprocess.supervision.core.exits import ENDS_LOOP, Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.scheduler import Scheduler, scheduler_of
from inprocess.supervision.periodic.grid import Grid, last_tick
from inprocess.supervision.periodic.policies import (
    CATCH_UP_MAX,
    SHARED_OPTIONS,
    Chance,
    Misfire,
    Overlap,
    Schedule,
    shared,
)
from inprocess.supervision.periodic.timer_process import Spawn, TimerProcess, elsewhere, scheduler_here
from inprocess.supervision.tasks.child import Child

SKIP: Final = "skip"
P = TypeVar("P", bound="Periodic")

#: A cache of schedules with no option but the interval, by interval.
_usual: dict[float, Schedule] = {}


class Periodic(TimerProcess):
    """Runs on the grid t0 + k * interval; see the module. Created by `start`."""

    __slots__ = ("_owed", "_schedule", "_t0")

    _t0: float
    _schedule: Schedule
    _owed: int  # runs that wait for the current one to end

    @classmethod
    def start(
        cls,
        spawn: Spawn,
        *,
        interval_s: float,
        t0: float | None = None,
        overlap: Overlap = SKIP,
        misfire: Misfire = SKIP,
        grace_s: float = inf,
        jitter_s: float = 0.0,
        chance: Chance = random.random,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Tick at `t0 + k * interval_s`, monotonic seconds, from the first such moment in the future.

        `grace_s` is how late a tick may still run; by default, until the next one is due. `jitter_s`
        delays each tick by up to that much, drawn with `chance`, so that many servers of one grid do not
        run in the same moment. The server lives on the running loop, or else on the runtime's (see
        `home_loop`). Raise ValueError for options out of range and AlreadyStartedError if the name is
        taken.
        """
        if overlap is SKIP and misfire is SKIP and grace_s is inf and jitter_s == 0.0:  # the defaults
            schedule = _usual.get(interval_s) or _usual_schedule(interval_s)
        else:
            schedule = shared(interval_s, overlap, misfire, grace_s, jitter_s, chance)
        loop = _get_running_loop()
        if loop is None:
            return elsewhere(partial(_made, cls, clock, spawn, schedule, t0, name))
        return cls(spawn, schedule, t0, name, scheduler_of(loop, clock))

    def __init__(
        self, spawn: Spawn, schedule: Schedule, t0: float | None, name: str | None, scheduler: Scheduler
    ) -> None:
        # What the base classes do, without their calls, which would cost as much as everything else.
        self.exit = self._monitors = self.parent = self._counts = self._current = self.last_run_at = None
        self.scheduler = scheduler
        self._context = copy_context() or EMPTY
        self.spawn = spawn
        self._schedule = schedule
        self._owed = 0
        self._name = name
        if name is not None:
            names.register(name, self)
        self.started_at = now = scheduler.monotonic()
        if t0 is None and schedule.chance is None:
            self._t0 = now
            self._when = now = now + schedule.interval_s
            scheduler.at(now, self)
        else:
            self._t0 = now if t0 is None else t0
            self._arm_for(self.grid.last(now) + 1)

    @property
    def grid(self) -> Grid:
        """The moments that its ticks are due at, without jitter."""
        return Grid(self._t0, self._schedule.interval_s)

    @property
    def schedule(self) -> Schedule:
        """Its options."""
        return self._schedule

    def quiet(self) -> None:
        """See `TimerProcess.quiet`."""
        self._owed = 0
        super().quiet()

    def _tick(self, when: float) -> None:
        """Arm for the next tick, then start the runs that are due."""
        schedule, t0 = self._schedule, self._t0
        interval_s = schedule.interval_s
        now = self.scheduler.monotonic()
        armed = due = last_tick(t0, interval_s, when)
        if now >= when + interval_s or schedule.jitter_s:
            due = max(armed, last_tick(t0, interval_s, now))
        if due > armed and schedule.jitter_s and not self._is_due(due, now):
            due -= 1
        else:
            self._arm_for(due + 1)
        late_s = now - (when if due == armed else t0 + due * interval_s)
        if due == armed and late_s <= schedule.grace_s:
            self._serve(1, late_s, 0)
        else:
            self._serve_late(due - armed, late_s)

    def _is_due(self, k: int, now: float) -> bool:
        """Whether tick `k` is due now, jitter included; if not, wait for it."""
        when = self._t0 + k * self._schedule.interval_s + self._schedule.delay()
        if when <= now:
            return True
        self._arm(when)
        return False

    def _arm_for(self, k: int) -> None:
        schedule = self._schedule
        when = self._t0 + k * schedule.interval_s
        if schedule.jitter_s:
            when += schedule.delay()
        self._when = when
        self.scheduler.at(when, self)

    def _serve_late(self, missed: int, late_s: float) -> None:
        runs = self._schedule.runs_for(missed, late_s)
        dropped = missed + 1 - runs
        self.counts.misfires += dropped
        if dropped and self._schedule.misfire == "catch_up":
            log.warning(
                "%s is too far behind to catch up: it dropped the %d oldest ticks", self.name, dropped
            )
        if runs:
            self._serve(runs, late_s, dropped)

    def _serve(self, runs: int, late_s: float, misfires: int) -> None:
        """Start so many runs, now or later, by the overlap policy."""
        current = self._current
        if current is not None:
            self._overlap(current, runs)
            return
        self._begin(late_s, misfires)
        if runs > 1:
            self._owed += runs - 1
            self._run_owed()

    def _begin(self, late_s: float, misfires: int = 0) -> None:
        run = self._spawned(late_s, misfires)
        if run is None:
            return
        if self._schedule.overlap == "allow":
            self._current = None
        else:
            run.monitor(self._run_ended)

    def _overlap(self, current: Child, runs: int) -> None:
        overlap = self._schedule.overlap
        room = 0 if overlap == "skip" or self._owed else 1
        if self._schedule.misfire == "catch_up" and runs > 1:  # misfires are run, whatever comes between
            room = max(room, min(runs, CATCH_UP_MAX - self._owed))
        self.counts.overlaps += runs - room
        if overlap == "cancel_previous" and not current.asked:
            self.counts.cancellations += 1
            _cancel(current, self.scheduler.loop)
        self._owed += room

    def _run_ended(self, _ended: Exit) -> None:
        self._current = None  # an idle server keeps no reference to its last run
        if self._owed:
            self._run_owed()

    def _run_owed(self) -> None:
        """Start the runs that wait, each when the one before it has ended."""
        while self._owed and self._current is None and self.exit is None:
            self._owed -= 1
            try:
                self._begin(self._lateness())
            except BaseException as error:
                self._fail(error)
                if isinstance(error, ENDS_LOOP):
                    raise

    def _lateness(self) -> float:
        """Return the seconds since the last moment of the grid, for a run that had to wait."""
        now = self.scheduler.monotonic()
        return now - self.grid.at(self.grid.last(now))


def _made(cls: type[P], clock: Clock | None, *rest: *tuple[Spawn, Schedule, float | None, str | None]) -> P:
    return cls(*rest, scheduler_here(clock))


_cancelling: set[asyncio.Task[bool]] = set()


def _cancel(run: Child, loop: asyncio.AbstractEventLoop) -> None:
    """End the run within its shutdown limit; if it suppresses that, it is abandoned and reported."""
    task = loop.create_task(run.supervisor.terminate_child(run), name=f"cancel {run.name}")
    _cancelling.add(task)
    task.add_done_callback(_cancelling.discard)


def _usual_schedule(interval_s: float) -> Schedule:
    schedule = Schedule(interval_s)
    if len(_usual) >= SHARED_OPTIONS:
        _usual.clear()
    _usual[interval_s] = schedule
    return schedule
