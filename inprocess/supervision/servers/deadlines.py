"""Deadlines: calls of one time-out on one loop share a timer.

They are kept in the order in which they came, which is the order of their deadlines, and the
scheduler is asked for the first deadline alone. A call that is answered in time costs no timer of
its own. The shared one is let go of when it fires and nobody waits, or when a server ends and
nobody waits.
"""

from __future__ import annotations

from math import inf

from inprocess.supervision.core.scheduler import Deadline, Expiring, Scheduler


class Deadlines:
    """The calls of one time-out, in seconds, on one scheduler; see the module."""

    __slots__ = ("_due", "_scheduler", "_seconds", "_when")

    def __init__(self, scheduler: Scheduler, seconds: float) -> None:
        self._scheduler = scheduler
        self._seconds = seconds
        self._due: dict[Expiring, float] = {}
        self._when = inf

    def add(self, caller: Expiring, /) -> None:
        """Have the call expire once its time has passed, unless it is discarded before."""
        when = self._due[caller] = self._scheduler.monotonic() + self._seconds
        if when < self._when:
            self._when = when
            self._scheduler.at(when, self)

    def discard(self, caller: Expiring, /) -> None:
        """Let it go: it is answered, or waits no longer."""
        self._due.pop(caller, None)

    def release(self) -> None:
        """Let go of the timer where nobody waits. Not at each answer, since callers like to call again."""
        due = self._due
        while due:
            first = next(iter(due))
            if not first.future.done():
                return
            del due[first]
        if self._when < inf:
            self._when = inf
            self._scheduler.forget()
        self._forget()

    def fire(self, fired: float, /) -> bool:
        """As `scheduler.Entry.fire`: expire what is due, and wait for the next."""
        if fired != self._when:
            return False
        now = max(fired, self._scheduler.monotonic())
        self._when = inf
        expired = []
        for caller, when in self._due.items():
            if when > now:
                self._when = when
                self._scheduler.at(when, self)
                break
            expired.append(caller)
        for caller in expired:
            del self._due[caller]
            caller.expire(self._seconds)
        if not self._due:
            self._forget()
        return True

    def _forget(self) -> None:
        self._scheduler.deadlines.pop(self._seconds, None)

    def awaits(self, when: float, /) -> bool:
        """As `scheduler.Entry.awaits`."""
        return when == self._when


def deadlines(scheduler: Scheduler, seconds: float) -> Deadline | None:
    """The calls of that time-out on that scheduler; None for infinity."""
    if seconds == inf:
        return None
    found = scheduler.deadlines.get(seconds)
    if found is None:
        found = scheduler.deadlines[seconds] = Deadlines(scheduler, seconds)
    return found
