"""A worker's timer on the loop, for ETAs, countdowns and rate-limited tasks.

kombu's timer, whose entries `inspect scheduled` reads, driven by one timer of the supervisor's clock instead
of a thread: entries run on the loop's thread, so the consumer's state needs no locks. Moments are monotonic
seconds of that clock.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop
from typing import Any

from inprocess.celery.celery_internals.internals import KombuTimer
from inprocess.supervision.core.clock import Timer
from inprocess.supervision.core.scheduler import Scheduler


class LoopTimer(KombuTimer):  # type: ignore[misc]  # see internals
    """See the module. Loop's thread only."""

    def __init__(self, scheduler: Scheduler, on_error: Callable[[Exception], object]) -> None:
        super().__init__(on_error=on_error)
        self._scheduler = scheduler
        self._armed: Timer | None = None
        self._armed_for = 0.0

    def enter_after(self, secs: float, entry: Any, priority: int = 0, time: Any = None) -> Any:  # noqa: ARG002 - kombu's signature
        """Run an entry after so many seconds."""
        return self._enter(self._scheduler.monotonic() + float(secs), priority, entry)

    def _enter(self, eta: float, priority: int, entry: Any, *_: Any) -> Any:
        super()._enter(eta, priority, entry)
        self._arm()
        return entry

    def stop(self) -> None:
        """Stop running entries."""
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def due_before(self, end: float) -> float | None:
        """Return when the next entry is due; None if that is not before `end`."""
        live = [entry.eta for entry in self._queue if not entry.entry.canceled]
        due = min(live, default=end)
        return due if due < end else None

    def _arm(self) -> None:
        """Set the timer for the first entry, unless it is set for an earlier moment."""
        while self._queue and self._queue[0].entry.canceled:
            heappop(self._queue)
        if not self._queue:
            return
        due = self._queue[0].eta
        if self._armed is not None:
            if self._armed_for <= due:
                return
            self._armed.cancel()
        self._armed_for = due
        self._armed = self._scheduler.call_later(max(0.0, due - self._scheduler.monotonic()), self._fire)

    def _fire(self) -> None:
        self._armed = None
        while self._queue and self._queue[0].eta <= self._scheduler.monotonic():
            entry = heappop(self._queue).entry
            if not entry.canceled:
                self.apply_entry(entry)
        self._arm()
