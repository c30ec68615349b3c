"""Scheduler: the run queue and the timers of one event loop, shared by every process on it.

Named after the BEAM's. An idle process costs no asyncio task and an armed timer no handle of the
loop: each loop has one of these (and one more for each clock that tests bring), with

- a run queue: `soon(step)` has a step called in the loop's next turn. All steps that wait are
  called by one callback a turn, in order, for SLICE_S at most; the rest waits for the next turn,
  so that the runtime by itself never holds the loop for long. A step does a bounded piece of
  work and queues itself again where more is left. It handles its own errors; one that it lets
  through is logged and stops nobody else's step.
- timers: `at(when, entry)` has `entry.fire(when)` called, for SLICE_S a turn at most too.
  Entries of the same moment share one place in a heap of moments and fire in the order in
  which they came; the loop holds one timer, for the earliest. Nothing is cancelled here: an
  entry knows by itself whether a moment is still one it waits for, and calls `forget` when it
  is not. The heap is cleared of such entries before they are the greater part of it.

Loop's thread only, except where it says otherwise.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from time import perf_counter
from typing import Final, Protocol, cast

from inprocess.supervision.core.clock import Clock, LoopClock, Timer
from inprocess.supervision.core.log import log

#: Seconds of steps and timers that one callback serves before the loop has another turn.
SLICE_S: Final = 0.002
#: The loop counts a timer as due when it is this close, s; so do we.
RESOLUTION_S: Final = 1e-9
#: Seconds added to a moment that the loop woke us before: some loops (uvloop) count in whole milliseconds
#: and would wake us early again and again.
EARLY_S: Final = 0.0005
#: Heap entries that may be stale before the heap is looked through for them.
STALE_ENTRIES: Final = 1000


class Entry(Protocol):
    """Something with moments."""

    def fire(self, when: float, /) -> bool:
        """Do what was put off to `when`; False, and nothing, where it waits for that moment no longer."""

    def awaits(self, when: float, /) -> bool:
        """Whether it still waits for that moment."""


class Expiring(Protocol):
    """Something that waits for its future, for so many seconds at most."""

    @property
    def future(self) -> asyncio.Future[object]:
        """Done once it waits no longer."""

    def expire(self, seconds: float, /) -> None:
        """End the wait: it had `seconds`."""


class Deadline(Entry, Protocol):
    """One timer for all that wait equally long, see `servers.deadlines`."""

    def add(self, waiting: Expiring, /) -> None:
        """Have it expire once its time has passed, unless it is discarded before."""

    def discard(self, waiting: Expiring, /) -> None:
        """Let it go: it waits no longer."""

    def release(self) -> None:
        """Let go of the timer where nobody waits."""


class Alarm:
    """A one-shot timer: calls `callback` unless it was cancelled before."""

    __slots__ = ("_scheduler", "callback")

    def __init__(self, scheduler: Scheduler, callback: Callable[[], object]) -> None:
        self._scheduler = scheduler
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Call it no more; harmless after it was called."""
        if self.callback is not None:
            self.callback = None
            self._scheduler.forget()

    def fire(self, _when: float, /) -> bool:
        """As `Entry.fire`."""
        callback, self.callback = self.callback, None
        if callback is None:
            return False
        callback()
        return True

    def awaits(self, _when: float, /) -> bool:
        """As `Entry.awaits`."""
        return self.callback is not None


class Scheduler:
    """See the module. One a loop and clock, made by `scheduler_of`."""

    __slots__ = (
        "_armed", "_armed_for", "_batch", "_batch_at", "_count", "_entries", "_moments", "_queued", "_stale",
        "_steps", "clock", "deadlines", "loop", "monotonic", "thread",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock | None = None) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.clock: Clock = clock or LoopClock(loop)
        self.monotonic = self.clock.monotonic
        self._steps: deque[Callable[[], object]] = deque()
        self._queued = False
        self._moments: list[float] = []
        self._entries: dict[float, Entry | list[Entry]] = {}
        self._batch: list[Entry] = []  # of the moment that is being served, the next entry last
        self._batch_at = 0.0
        self._count = self._stale = 0
        self._armed: Timer | None = None
        #: Calls that wait for a reply, by their time-out, s; kept by `servers.deadlines`.
        self.deadlines: dict[float, Deadline] = {}
        self._armed_for = inf  # below any moment while timers fire, so that nothing else arms

    @property
    def is_here(self) -> bool:
        """Whether the caller is on this loop's thread. Any thread."""
        return threading.get_ident() == self.thread

    def soon(self, step: Callable[[], object]) -> None:
        """Have `step` called in the loop's next turn, after those that were queued before."""
        self._steps.append(step)
        if not self._queued:
            self._queued = True
            self.loop.call_soon(self._turn)

    def at(self, when: float, entry: Entry) -> None:
        """Have `entry.fire(when)` called at the clock's `when`, at once where that has passed."""
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
        """As `Clock.call_later`, by the shared heap."""
        alarm = Alarm(self, callback)
        self.at(self.monotonic() + seconds, alarm)
        return alarm

    def forget(self) -> None:
        """Note that an entry waits no longer. Once most entries are such, all such are let go of."""
        self._stale += 1
        if self._stale == self._count or (self._stale > STALE_ENTRIES and 2 * self._stale > self._count):
            self._clear_stale()

    @property
    def armed(self) -> int:
        """How many entries wait for a moment."""
        return self._count - self._stale

    def _turn(self) -> None:
        steps = self._steps
        end = perf_counter() + SLICE_S
        try:
            for _ in range(len(steps)):
                steps.popleft()()
                if steps and perf_counter() > end:
                    break
        except Exception:  # noqa: BLE001 - one step's fault is not the others'
            log.exception("a step of the scheduler failed")
        finally:
            if steps:
                self.loop.call_soon(self._turn)
            else:
                self._queued = False

    def _arm(self, when: float) -> None:
        if self._armed is not None:
            self._armed.cancel()
        self._armed_for = when
        self._armed = self.clock.call_at(when, self._fire_due)

    def _disarm(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
            self._armed, self._armed_for = None, inf

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
        except Exception:  # noqa: BLE001 - as for a step
            log.exception("the timer %r failed", entry)

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
    """Without those that gave a moment up and came back to it."""
    return {id(entry): entry for entry in entries}.values()


_schedulers: dict[asyncio.AbstractEventLoop, dict[Clock | None, Scheduler]] = {}


def scheduler_of(loop: asyncio.AbstractEventLoop, clock: Clock | None = None) -> Scheduler:
    """The scheduler of the running loop, and of that clock where one is given."""
    of_loop = _schedulers.get(loop)
    if of_loop is None:
        for closed in [known for known in list(_schedulers) if known.is_closed()]:
            _schedulers.pop(closed, None)
        of_loop = _schedulers[loop] = {}
    found = of_loop.get(clock)
    if found is None:
        found = of_loop[clock] = Scheduler(loop, clock)
    return found
