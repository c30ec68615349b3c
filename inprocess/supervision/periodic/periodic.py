"""Periodic: starts a run at each tick of an absolute grid, t0 + k * interval.

- The grid is computed from t0 each time, so neither long runs, nor a loop that stalls, nor jitter delay
  later ticks. A restart with the same `t0` keeps the grid.
- For ticks that come too soon or too late, see `policies`.
- `spawn` starts the work. It is a plain function such as `partial(tasks.start_child, sync, owner)`: a
  run that crashes is logged by that supervisor, and the grid goes on. If `spawn` itself raises, the
  server crashes.
- The first tick is the first moment of the grid in the future. t0 is the start by default, so the first
  tick is one interval later.

- A machine that was suspended counts as a loop that stalled: the grid stays at its moments of the day, and
  what was missed are misfires. So is the time in which no process ran, with `state=`: a place, such as
  `FileTickStore`, where the server keeps its last tick over restarts.
- `schedule=` takes its due times from any object with a `next_after`, in place of an interval;
  `inprocess.cron` has one for cron expressions. Such a server goes by the wall clock.

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
    PeriodicOptions,
    shared,
)
from inprocess.supervision.periodic.schedule import DueTimes, Schedule
from inprocess.supervision.periodic.tick_store import TickStore, is_saved, load, save_soon
from inprocess.supervision.periodic.timer_process import (
    NEVER,
    Spawn,
    TimerProcess,
    elsewhere,
    scheduler_here,
)
from inprocess.supervision.tasks.child import Child

SKIP: Final = "skip"
P = TypeVar("P", bound="Periodic")

#: Interval, s, from which on a server without `state` says what that means.
LONG_S: Final = 86_400.0
#: Seconds by which two clocks may disagree about a moment that was saved.
TOLERANCE_S: Final = 1.0
#: Seconds by which the wall clock may be set back without a repetition of what has run; as cron has it.
REPEAT_S: Final = 3 * 3600.0
#: Seconds between two looks at whether the last tick is saved.
LOOK_S: Final = 0.01

#: What is wrong with both, and with neither.
EITHER: Final = "give either interval_s= or schedule=, and not both: they say when it is due"
#: What few servers have: a schedule, and where the last tick is kept.
Extras = tuple[Schedule | None, TickStore | None]

#: A cache of options with nothing but the interval, by interval.
_usual: dict[float, PeriodicOptions] = {}


class Extra:
    """What few servers have: the due times of a schedule, and where the last tick is kept."""

    __slots__ = ("store", "times")

    def __init__(self) -> None:
        self.times: DueTimes | None = None  # None on a grid
        self.store: TickStore | None = None


class Periodic(TimerProcess):
    """Runs on the grid t0 + k * interval, or by a schedule; see the module. Created by `start`."""

    __slots__ = ("_extra", "_options", "_owed", "_t0")

    _t0: float
    _options: PeriodicOptions
    _owed: int  # runs that wait for the current one to end
    _extra: Extra | None

    @classmethod
    def start(
        cls,
        spawn: Spawn,
        *,
        interval_s: float | None = None,
        schedule: Schedule | None = None,
        t0: float | None = None,
        state: TickStore | None = None,
        overlap: Overlap = SKIP,
        misfire: Misfire = SKIP,
        grace_s: float = inf,
        jitter_s: float = 0.0,
        chance: Chance = random.random,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Tick at `t0 + k * interval_s`, monotonic seconds, or by a `schedule`, from the next such moment on.

        With `state` it keeps its last tick there, by its `name`, and a successor goes on from it: at the
        same moments of the day unless there is a `t0`, and what came due meanwhile is served by `misfire`.
        `grace_s` is how late a tick may still run; by default, until the next one is due. `jitter_s` delays
        each tick by up to that much, drawn with `chance`, so that many servers of one grid do not run in
        the same moment. The server lives on the running loop, or else on the runtime's (see `home_loop`).
        Raise ValueError for options that are out of range or do not go together, AlreadyStartedError if the
        name is taken, and what `state` raises when it is read.
        """
        extras = None
        if schedule is not None or state is not None:
            extras = (schedule, state)
            _check(interval_s, schedule, t0, state, name)
            options = shared(interval_s or inf, overlap, misfire, grace_s, jitter_s, chance)
        elif overlap is SKIP and misfire is SKIP and grace_s is inf and jitter_s == 0.0:  # the defaults
            options = _usual.get(interval_s) or _usual_options(interval_s)  # type: ignore[arg-type]  # None is in none
        else:
            options = shared(_interval(interval_s), overlap, misfire, grace_s, jitter_s, chance)
        loop = _get_running_loop()
        if loop is None:
            return elsewhere(partial(_made, cls, clock, spawn, options, t0, name, extras))
        return cls(spawn, options, t0, name, scheduler_of(loop, clock), extras)

    def __init__(  # noqa: PLR0917 - positional, since a start is on a hot path
        self,
        spawn: Spawn,
        options: PeriodicOptions,
        t0: float | None,
        name: str | None,
        scheduler: Scheduler,
        extras: Extras | None = None,
    ) -> None:
        # What the base classes do, without their calls, which would cost as much as everything else.
        self.exit = self._monitors = self.parent = self._counts = self._current = self.last_run_at = None
        self._extra = None
        self.scheduler = scheduler
        self._context = copy_context() or EMPTY
        self.spawn = spawn
        self._options = options
        self._owed = 0
        self._name = name
        if name is not None:
            names.register(name, self)
        self.started_at = now = scheduler.monotonic()
        if t0 is None and options.chance is None and extras is None:
            self._t0 = now
            self._when = now = now + options.interval_s
            scheduler.at(now, self)
        elif extras is None:
            self._t0 = now if t0 is None else t0
            self._arm_for(self.grid.last(now) + 1)
        else:
            try:
                self._go_on(*extras, t0)
            except BaseException:
                if name is not None:
                    names.unregister(name, self)
                raise

    @property
    def grid(self) -> Grid:
        """The moments that its ticks are due at, without jitter; raise ValueError with a schedule."""
        return Grid(self._t0, self._options.interval_s)

    @property
    def options(self) -> PeriodicOptions:
        """Its options."""
        return self._options

    @property
    def schedule(self) -> Schedule | None:
        """Its schedule; None for an interval."""
        return None if self._extra is None or self._extra.times is None else self._extra.times.schedule

    async def idle(self) -> None:
        """Wait until its last tick is saved, with `state`."""
        store = None if self._extra is None else self._extra.store
        while store is not None and not is_saved(store, self.name):  # noqa: ASYNC110 - by a thread
            await asyncio.sleep(LOOK_S)

    def clock_moved(self, suspended_s: float) -> None:
        """See `TimerProcess.clock_moved`."""
        if self._when == NEVER:
            return
        extra = self._extra
        if extra is not None and (times := extra.times) is not None:
            wall = self.scheduler.clock.wall()
            if wall < times.last - REPEAT_S:
                times = extra.times = DueTimes(times.schedule, wall)
            self._arm_by_wall(times)
        elif suspended_s:
            interval_s = self._options.interval_s
            k = last_tick(self._t0, interval_s, self._when)
            delay_s = max(0.0, self._when - self._t0 - k * interval_s) if self._options.jitter_s else 0.0
            self._t0 -= suspended_s
            # as `_tick` computes it, which has to find this k
            self._arm(self._t0 + k * interval_s + delay_s)
        else:
            return
        self.scheduler.forget()  # the moment that it waited for

    def quiet(self) -> None:
        """See `TimerProcess.quiet`."""
        self._owed = 0
        super().quiet()

    def _go_on(self, schedule: Schedule | None, store: TickStore | None, t0: float | None) -> None:
        """Begin where the last tick was, if one was kept; else now."""
        now, wall = self.started_at, self.scheduler.clock.wall()
        extra, name = Extra(), self.name
        self._extra, extra.store = extra, store
        last = None if store is None else load(store, name)
        if last is not None and last > wall + TOLERANCE_S:
            log.warning(
                "the last tick of %s is %.0f s in the future: was the clock wrong? It begins anew",
                name,
                last - wall,
            )
            last = None
        is_new = last is None
        last = wall if last is None else min(last, wall)
        if schedule is not None:
            self._t0 = now
            extra.times = DueTimes(schedule, last)
            self._arm_by_wall(extra.times)
        else:
            began = now - (wall - last)
            self._t0 = t0 = began if t0 is None else t0
            interval_s = self._options.interval_s
            k = last_tick(t0, interval_s, began if is_new else began + min(TOLERANCE_S, interval_s / 2))
            last = wall - (now - self.grid.at(k))
            self._arm_for(k + 1)
        if store is not None and is_new:
            save_soon(store, name, last)

    def _tick(self, when: float) -> None:
        """Arm for the next tick, then start the runs that are due."""
        extra = self._extra
        if extra is not None and extra.times is not None:
            self._tick_by_wall(extra.times, extra.store)
            return
        options, t0 = self._options, self._t0
        interval_s = options.interval_s
        now = self.scheduler.monotonic()
        armed = due = last_tick(t0, interval_s, when)
        if now >= when + interval_s or options.jitter_s:
            due = max(armed, last_tick(t0, interval_s, now))
        if due > armed and options.jitter_s and not self._is_due(due, now):
            due -= 1
        else:
            self._arm_for(due + 1)
        late_s = now - (when if due == armed else t0 + due * interval_s)
        if extra is not None and extra.store is not None:
            # before the run begins, in seconds since 1970
            save_soon(extra.store, self.name, self.scheduler.clock.wall() - (now - t0 - due * interval_s))
        if due == armed and late_s <= options.grace_s:
            self._serve(1, late_s, 0)
        else:
            self._serve_late(due - armed, late_s)

    def _tick_by_wall(self, times: DueTimes, store: TickStore | None) -> None:
        """Like `_tick`, by the wall clock."""
        now = self.scheduler.clock.wall()
        if now < times.next:  # the clock was set back
            self._arm_by_wall(times)
            return
        missed = times.pass_by(now)
        self._arm_by_wall(times)
        late_s = now - times.last
        if store is not None:
            save_soon(store, self.name, times.last)
        if not missed and late_s <= self._options.grace_s:
            self._serve(1, late_s, 0)
        else:
            self._serve_late(missed, late_s)

    def _arm_by_wall(self, times: DueTimes) -> None:
        if times.next == inf:
            self._when = NEVER
            return
        clock = self.scheduler.clock
        self._arm(clock.monotonic() + (times.next - clock.wall()) + self._options.delay())

    def _is_due(self, k: int, now: float) -> bool:
        """Whether tick `k` is due now, jitter included; if not, wait for it."""
        when = self._t0 + k * self._options.interval_s + self._options.delay()
        if when <= now:
            return True
        self._arm(when)
        return False

    def _arm_for(self, k: int) -> None:
        options = self._options
        when = self._t0 + k * options.interval_s
        if options.jitter_s:
            when += options.delay()
        self._when = when
        self.scheduler.at(when, self)

    def _serve_late(self, missed: int, late_s: float) -> None:
        runs = self._options.runs_for(missed, late_s)
        dropped = missed + 1 - runs
        self.counts.misfires += dropped
        if dropped and self._options.misfire == "catch_up":
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
        if self._options.overlap == "allow":
            self._current = None
        else:
            run.monitor(self._run_ended)

    def _overlap(self, current: Child, runs: int) -> None:
        overlap = self._options.overlap
        room = 0 if overlap == "skip" or self._owed else 1
        if self._options.misfire == "catch_up" and runs > 1:  # misfires are run, whatever comes between
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
        """Return the seconds since the last due moment, for a run that had to wait."""
        if self._extra is not None and self._extra.times is not None:
            return self.scheduler.clock.wall() - self._extra.times.last
        now = self.scheduler.monotonic()
        return now - self.grid.at(self.grid.last(now))


def _made(  # noqa: PLR0917 - the arguments of the class
    cls: type[P],
    clock: Clock | None,
    spawn: Spawn,
    options: PeriodicOptions,
    t0: float | None,
    name: str | None,
    extras: Extras | None,
) -> P:
    return cls(spawn, options, t0, name, scheduler_here(clock), extras)


def _check(
    interval_s: float | None,
    schedule: Schedule | None,
    t0: float | None,
    state: TickStore | None,
    name: str | None,
) -> None:
    """Raise ValueError for options that do not go together."""
    if (interval_s is None) == (schedule is None):
        raise ValueError(EITHER)
    if interval_s is not None:
        _interval(interval_s)
    if schedule is not None and t0 is not None:
        raise ValueError("t0= belongs to an interval: a schedule says itself when it is due")
    if state is not None and name is None:
        raise ValueError("state= needs a name=, by which the last tick is found after a restart")


_cancelling: set[asyncio.Task[bool]] = set()


def _cancel(run: Child, loop: asyncio.AbstractEventLoop) -> None:
    """End the run within its shutdown limit; if it suppresses that, it is abandoned and reported."""
    task = loop.create_task(run.supervisor.terminate_child(run), name=f"cancel {run.name}")
    _cancelling.add(task)
    task.add_done_callback(_cancelling.discard)


def _interval(interval_s: float | None) -> float:
    """Return the interval of a server without a schedule; raise ValueError if it is none."""
    if interval_s is None:
        raise ValueError(EITHER)
    if not 0 < interval_s < inf:
        raise ValueError(f"the interval is {interval_s} s: expected more than 0")
    return interval_s


def _usual_options(interval_s: float | None) -> PeriodicOptions:
    interval_s = _interval(interval_s)
    options = PeriodicOptions(interval_s)
    if interval_s >= LONG_S:
        log.warning(
            "a Periodic with an interval of %g s keeps no last tick, so the interval begins anew with each "
            "start of the process: give it state=FileTickStore(path), unless the process lives longer",
            interval_s,
        )
    if len(_usual) >= SHARED_OPTIONS:
        _usual.clear()
    _usual[interval_s] = options
    return options
