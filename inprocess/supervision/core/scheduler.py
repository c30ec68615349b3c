"""Scheduler: the run queue and the timers of one event loop, shared by every process on it.

Named after the BEAM's. An idle process has no asyncio task, and a timer has no handle of the loop.
Each loop has one scheduler (and one more for each clock of a test), with

- a run queue: `soon(step)` calls a step in the loop's next turn. One callback a turn calls all
  queued steps in order, for at most SLICE_S; the rest waits for the next turn, so that the runtime
  never holds the loop for long. A step does a bounded amount of work and queues itself again if
  more is left. It handles its own errors; one that it does not handle is logged, and the other
  steps still run.
- timers: `at(when, entry)` calls `entry.fire(when)`, also for at most SLICE_S a turn. Entries of the
  same moment share one place in a heap of moments and fire in the order they came; the loop holds
  one timer, for the earliest. The scheduler cancels nothing: an entry knows whether it still waits
  for a moment, and calls `forget` if it does not. The heap is cleared of stale entries before they
  are the greater part of it.

Loop's thread only, unless a method says otherwise.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from math import inf
from sys import get_asyncgen_hooks
from threading import get_ident
from time import perf_counter
from typing import Any, Final, Protocol, cast
from weakref import WeakSet

from inprocess.supervision.core.clock import Clock, LoopClock, Timer
from inprocess.supervision.core.exits import ENDS_LOOP
from inprocess.supervision.core.log import log
from inprocess.supervision.core.loops import NOWHERE, RunsOn, is_being_closed, made_before_fork, runs_on
from inprocess.supervision.core.redact import repr_of

#: Seconds of steps and timers that one callback serves before the loop has another turn.
SLICE_S: Final = 0.002
#: A timer this close to its moment is due, s; as asyncio has it.
RESOLUTION_S: Final = 1e-9
#: Seconds added to a moment when the loop wakes too early: some loops (uvloop) count whole milliseconds
#: and would wake too early again and again.
EARLY_S: Final = 0.0005
#: Stale entries that the heap may hold before it is cleared of them.
STALE_ENTRIES: Final = 1000


class Entry(Protocol):
    """Something that waits for moments."""

    def fire(self, when: float, /) -> bool:
        """Do what was due at `when`. Return False, and do nothing, if it no longer waits for that moment."""

    def awaits(self, when: float, /) -> bool:
        """Whether it still waits for that moment."""


class Expiring(Protocol):
    """Something that waits for a future with a time limit."""

    @property
    def future(self) -> asyncio.Future[object]:
        """Done when the wait is over."""

    def expire(self, seconds: float, /) -> None:
        """End the wait, after the time limit of `seconds`."""


class Deadline(Entry, Protocol):
    """One timer for all waits of the same length, see `servers.deadlines`."""

    @property
    def due(self) -> dict[Expiring, float]:
        """Those that wait, and when each expires; hot paths remove them here, as `discard` does."""

    def add(self, waiting: Expiring, /) -> None:
        """Make it expire after the time limit, unless it is discarded before."""

    def discard(self, waiting: Expiring, /) -> None:
        """Remove it: it no longer waits."""

    def release(self) -> None:
        """Release the timer if nothing waits."""


class Alarm:
    """A one-shot timer: calls `callback`, unless it is cancelled before."""

    __slots__ = ("_scheduler", "callback")

    def __init__(self, scheduler: Scheduler, callback: Callable[[], object]) -> None:
        self._scheduler = scheduler
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not call it. Has no effect after the call."""
        if self.callback is not None:
            self.callback = None
            self._scheduler.forget()

    def fire(self, _when: float, /) -> bool:
        """See `Entry.fire`."""
        callback, self.callback = self.callback, None
        if callback is None:
            return False
        callback()
        return True

    def awaits(self, _when: float, /) -> bool:
        """See `Entry.awaits`."""
        return self.callback is not None


class Scheduler:
    """See the module. One a loop and clock, made by `scheduler_of`."""

    __slots__ = (
        "_armed", "_armed_for", "_batch", "_batch_at", "_context", "_count", "_entries", "_is_closing",
        "_moments", "_queued", "_run", "_stale", "_steps", "clock", "deadlines", "loop", "monotonic",
        "runs_on", "serving", "supervisors", "unlinked",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock | None = None) -> None:
        self.loop = loop
        #: Tells the thread that the loop runs on. Hot paths compare it with their own, see `is_here`.
        self.runs_on: RunsOn = runs_on(loop)
        self._context = Context()  # of its own, empty: steps and timers enter those of what they serve
        self.clock: Clock = clock or LoopClock(loop)
        self.monotonic = self.clock.monotonic
        #: The server whose handler runs in this step; kept by `servers.message_loop`.
        self.serving: object = None
        #: Supervisors that were started here; a runtime drains those that nobody else has ended.
        self.supervisors: WeakSet[Any] = WeakSet()
        #: The supervisor of the tasks of `Task.start`: the end of a runtime cuts them off, and names them.
        self.unlinked: Any = None
        self._steps: deque[Callable[[], object]] = deque()
        self._queued = False
        self._moments: list[float] = []
        self._entries: dict[float, Entry | list[Entry]] = {}
        self._batch: list[Entry] = []  # entries of the moment being served, the next one last
        self._batch_at = 0.0
        self._count = self._stale = 0
        self._armed: Timer | None = None
        self._run: object = None
        self._is_closing = False
        #: Calls that wait for a reply, by their time-out, s; kept by `servers.deadlines`.
        self.deadlines: dict[float, Deadline] = {}
        self._armed_for = inf  # below any moment while timers fire, so that nothing else arms

    @property
    def is_here(self) -> bool:
        """Whether the caller is on this loop's thread, and the loop runs. Any thread."""
        return self.runs_on._thread_id == get_ident()  # noqa: SLF001 - the loop's own name for it

    @property
    def thread(self) -> int | None:
        """Id of the thread that its loop runs on; None while it does not run."""
        return self.runs_on._thread_id  # noqa: SLF001 - as above

    def is_closing(self) -> bool:  # no property, which Python 3.11 calls more slowly
        """Whether the loop is being closed, so that nothing may begin. Loop's thread only."""
        # A new object each time that the loop begins to run; who runs it stays the same until it stops.
        run = get_asyncgen_hooks().firstiter
        if run is None or run is not self._run:
            self._run, self._is_closing = run, is_being_closed()
        return self._is_closing

    def soon(self, step: Callable[[], object]) -> None:
        """Call `step` in the loop's next turn, after the steps that are queued already."""
        if not self._queued:
            self.loop.call_soon(self._turn, context=self._context)  # raises if the loop is closed
            self._queued = True
        self._steps.append(step)

    def at(self, when: float, entry: Entry) -> None:
        """Call `entry.fire(when)` when the clock reaches `when`, or soon if that has passed."""
        self._count += 1
        entries = self._entries
        there = entries.get(when)
        if there is None:
            entries[when] = entry
            heapq.heappush(self._moments, when)
            if when < self._armed_for:
                self._arm(when)
        elif type(there) is list:
            there.append(entry)
        else:
            entries[when] = [cast("Entry", there), entry]

    def call_later(self, seconds: float, callback: Callable[[], object], /) -> Timer:
        """See `Clock.call_later`; uses the shared heap."""
        alarm = Alarm(self, callback)
        self.at(self.monotonic() + seconds, alarm)
        return alarm

    def forget(self) -> None:
        """Count one more stale entry. When most entries are stale, remove them."""
        self._stale += 1
        if self._stale == self._count or (self._stale > STALE_ENTRIES and 2 * self._stale > self._count):
            self._clear_stale()

    def waiting(self) -> list[Entry]:
        """Return the entries that wait for a moment."""
        moments = [(when, there if type(there) is list else [there]) for when, there in self._entries.items()]
        found = [
            entry
            for when, entries in [*moments, (self._batch_at, self._batch)]
            for entry in cast("list[Entry]", entries)
            if entry.awaits(when)
        ]
        return list(_once_each(found))

    @property
    def armed(self) -> int:
        """Number of entries that wait for a moment."""
        return self._count - self._stale

    def _turn(self) -> None:
        steps = self._steps
        end = perf_counter() + SLICE_S
        try:
            for _ in range(len(steps)):
                steps.popleft()()
                if steps and perf_counter() > end:
                    break
        except ENDS_LOOP:
            raise
        except BaseException:  # noqa: BLE001 - one step's fault is not the others'
            log.exception("a step of the scheduler failed")
        finally:
            if steps:
                self.loop.call_soon(self._turn, context=self._context)
            else:
                self._queued = False

    def _arm(self, when: float) -> None:
        if self._armed is not None:
            self._armed.cancel()
        self._armed_for = when
        self._armed = self.clock.call_at(when, self._wake)

    def _disarm(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
            self._armed, self._armed_for = None, inf

    def _wake(self) -> None:
        self._context.run(self._fire_due)

    def _fire_due(self) -> None:
        self._armed, self._armed_for = None, -inf
        now = self.monotonic() + RESOLUTION_S
        end = perf_counter() + SLICE_S
        early = EARLY_S
        try:
            while (entry := self._next_due(now)) is not None:
                early = 0.0
                self._fire(entry)
                if perf_counter() > end:
                    break
        finally:
            self._armed_for = inf
            if self._batch:
                self._arm(self._batch_at)
            elif self._moments:
                when = self._moments[0]
                self._arm(when + early if when - now < EARLY_S else when)

    def _next_due(self, now: float) -> Entry | None:
        if self._batch:
            return self._batch.pop()
        moments = self._moments
        if not moments or moments[0] > now:
            return None
        self._batch_at = heapq.heappop(moments)
        there = self._entries.pop(self._batch_at)
        if type(there) is not list:
            return cast("Entry", there)
        there.reverse()
        self._batch = there
        return there.pop()

    def _fire(self, entry: Entry) -> None:
        self._count -= 1
        try:
            if not entry.fire(self._batch_at) and self._stale:
                self._stale -= 1
        except ENDS_LOOP:
            raise
        except BaseException:  # noqa: BLE001 - as for a step
            log.exception("the timer %s failed", repr_of(entry))

    def _clear_stale(self) -> None:
        left: dict[float, Entry | list[Entry]] = {}
        count = 0
        for when, there in self._entries.items():
            entries = there if type(there) is list else [cast("Entry", there)]
            waiting = [entry for entry in _once_each(entries) if entry.awaits(when)]
            count += len(waiting)
            if waiting:
                left[when] = waiting if len(waiting) > 1 else waiting[0]
        self._batch = [entry for entry in _once_each(self._batch) if entry.awaits(self._batch_at)]
        self._entries = left
        self._moments[:] = left
        heapq.heapify(self._moments)
        self._count, self._stale = count + len(self._batch), 0
        if not self._count:
            self._disarm()


def _once_each(entries: Iterable[Entry]) -> Iterable[Entry]:
    """Remove duplicates: an entry may leave a moment and come back to it."""
    return {id(entry): entry for entry in entries}.values()


def schedulers_of(loop: asyncio.AbstractEventLoop) -> Iterable[Scheduler]:
    """Return the schedulers of this loop, one for each clock."""
    return _schedulers.get(loop, {}).values()


_schedulers: dict[asyncio.AbstractEventLoop, dict[Clock | None, Scheduler]] = {}
#: Called with each loop that something begins to live on, on its thread.
on_new_loop: Final[list[Callable[[asyncio.AbstractEventLoop], object]]] = []


def scheduler_of(loop: asyncio.AbstractEventLoop, clock: Clock | None = None) -> Scheduler:
    """Return the scheduler of this loop and clock; the loop must be the running one."""
    of_loop = _schedulers.get(loop)
    if of_loop is None:
        for closed in [known for known in list(_schedulers) if known.is_closed()]:
            _schedulers.pop(closed, None)
        of_loop = _schedulers[loop] = {}
        for hook in on_new_loop:
            hook(loop)
    found = of_loop.get(clock)
    if found is None:
        found = of_loop[clock] = Scheduler(loop, clock)
    return found


def _after_fork() -> None:
    """Mark the schedulers of the original as running nowhere in this process."""
    made_before_fork(_schedulers)
    for of_loop in _schedulers.values():
        for scheduler in of_loop.values():
            scheduler.runs_on = NOWHERE
    _schedulers.clear()


os.register_at_fork(after_in_child=_after_fork)
