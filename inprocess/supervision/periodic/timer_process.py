"""TimerProcess: base of the periodic servers. It spawns runs, counts ticks, and has no task of its own.

A process without a mailbox: it only waits for moments of the scheduler, so an idle one is an object and
an entry of the timer heap. It ends as soon as it is asked to; a run that has begun belongs to its
supervisor and goes on.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TypeVar

from inprocess.supervision.core import names, telemetry
from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.contexts import EMPTY
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.exits import ENDS_LOOP, SHUTDOWN, Exit, exit_of
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import BaseProcess
from inprocess.supervision.core.scheduler import Scheduler, scheduler_of
from inprocess.supervision.core.thread_bridge import hop
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.periodic.policies import TickCounts
from inprocess.supervision.tasks.child import Child

#: Starts one run and returns at once, with the result of `start_child`; None if the work was short and is
#: done.
Spawn = Callable[[], Child | Refused | None]

#: The event of each run that was started or refused: measurements late_s, misfires; metadata server, outcome.
TICK = ("periodic", "tick")
#: `_when` of a server that waits for no moment.
NEVER = math.inf

T = TypeVar("T")


class TimerProcess(BaseProcess):
    """Base of Periodic and FixedDelay; created by their `start`."""

    __slots__ = ("_context", "_counts", "_current", "_when", "last_run_at", "spawn")

    spawn: Spawn
    #: When the last run was started, seconds since 1970 by the wall clock; None before the first.
    last_run_at: float | None
    _counts: TickCounts | None
    _current: Child | None
    #: A copy of the context that it was started from. Not shared: to compare would cost as much as a start.
    _context: Context
    _when: float

    def __init__(self, spawn: Spawn, name: str | None, scheduler: Scheduler) -> None:
        # What the base classes do, without their calls: a start is on a hot path.
        self.exit = self._monitors = self.parent = self._counts = self._current = self.last_run_at = None
        self.scheduler = scheduler
        self._context = copy_context() or EMPTY
        self.started_at = scheduler.monotonic()
        self.spawn = spawn
        self._when = NEVER
        self._name = name
        if name is not None:
            names.register(name, self)

    @property
    def counts(self) -> TickCounts:
        """The outcomes of the ticks so far. The server's own object: read only."""
        if self._counts is None:
            self._counts = TickCounts()
        return self._counts

    @property
    def next_at(self) -> float | None:
        """The moment of the next tick by its clock; None if it waits for none."""
        return None if self._when == NEVER else self._when

    @property
    def waits_since(self) -> float:
        """The moment by its clock from which the time until its next tick is measured."""
        return self.started_at

    @property
    def run(self) -> Child | None:
        """The running run; None if there is none, or if several may run."""
        return self._current

    def quiet(self) -> None:
        """Start no more runs, including those that wait for the one before."""
        self._disarm()

    def shutdown(self) -> None:
        """End now, with reason shutdown."""
        self._end(SHUTDOWN)

    def kill(self) -> None:
        """Like `shutdown`: there is no clean-up to skip."""
        self._end(SHUTDOWN)

    def fire(self, when: float, /) -> bool:
        """See `scheduler.Entry.fire`."""
        if when != self._when:
            return False
        self._when = NEVER
        try:
            self._tick(when)
        except BaseException as error:
            self._fail(error)
            if isinstance(error, ENDS_LOOP):
                raise
        return True

    def awaits(self, when: float, /) -> bool:
        """See `scheduler.Entry.awaits`."""
        return when == self._when

    def clock_moved(self, suspended_s: float) -> None:
        """Keep to the moments of the wall clock, after the machine was suspended or that clock was set."""

    def _tick(self, when: float) -> None:
        """Do what was due at `when`, and arm for the next moment."""
        raise NotImplementedError

    def _spawned(self, late_s: float, misfires: int = 0) -> Child | None:
        counts = self._counts or self.counts
        run = self._context.copy().run(self.spawn)
        if isinstance(run, Refused):
            counts.refusals += 1
            log.warning("%s could not start a run: %s", self.name, run.text)
        else:
            counts.runs += 1
            self.last_run_at = time.time()
            self._current = run
        if telemetry.attached:
            outcome = "refusal" if isinstance(run, Refused) else "run"
            telemetry.execute(
                TICK, {"late_s": late_s, "misfires": misfires}, {"server": self.name, "outcome": outcome}
            )
        return None if isinstance(run, Refused) else run

    def _arm(self, when: float) -> None:
        self._when = when
        self.scheduler.at(when, self)

    def _disarm(self) -> None:
        if self._when != NEVER:
            self._when = NEVER
            self.scheduler.forget()

    def _fail(self, error: BaseException) -> None:
        ended = exit_of(error)
        if ended.kind == "crash":
            log.error("%s crashed: it could not start a run: %s", self.name, ended, exc_info=error)
        self._end(ended)

    def _end(self, ended: Exit) -> None:
        self._disarm()
        super()._end(ended)


def clocks_moved(scheduler: Scheduler, suspended_s: float, since: float = math.inf) -> None:
    """Tell the periodic servers that the machine was suspended for so long, or 0.0: the wall clock was set.

    Those whose wait began after `since`, by its clock, are not told: they know no other time.
    """
    for entry in scheduler.waiting():
        if isinstance(entry, TimerProcess) and entry.waits_since <= since:
            entry.clock_moved(suspended_s)


def elsewhere(start: Callable[[], T]) -> T:
    """Call `start` on the home loop's thread, for a caller without a running loop."""
    return hop(home_loop(), start)


def scheduler_here(clock: Clock | None) -> Scheduler:
    """Return the scheduler of the running loop."""
    return scheduler_of(asyncio.get_running_loop(), clock)
