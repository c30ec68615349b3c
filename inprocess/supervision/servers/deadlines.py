"""Deadlines: calls with the same timeout share a timer.

They are kept in the order of their start, which is the order of their deadlines, and the scheduler
holds a timer for the first one only. A call that is answered in time needs no timer of its own. The
shared timer is released when it fires, or when a server ends, and no call waits.
"""

from __future__ import annotations

from math import inf

from inprocess.supervision.core.scheduler import Deadline, Expiring, Scheduler


class Deadlines:
    """The calls with one timeout, in seconds, on one scheduler. See the module."""

    __slots__ = ("_scheduler", "_seconds", "_when", "due")

    def __init__(self, scheduler: Scheduler, seconds: float) -> None:
        self._scheduler = scheduler
        self._seconds = seconds
        #: Those that wait, and when each expires.
        self.due: dict[Expiring, float] = {}
        self._when = inf

    def add(self, caller: Expiring, /) -> None:
        """See `scheduler.Deadline.add`."""
        when = self.due[caller] = self._scheduler.monotonic() + self._seconds
        if when < self._when:
            self._when = when
            self._scheduler.at(when, self)

    def discard(self, caller: Expiring, /) -> None:
        """See `scheduler.Deadline.discard`."""
        self.due.pop(caller, None)

    def release(self) -> None:
        """Release the timer if no call waits. Not done at each reply, because most callers call again."""
        due = self.due
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
        """Expire the calls that are due, and wait for the next one."""
        if fired != self._when:
            return False
        now = max(fired, self._scheduler.monotonic())
        self._when = inf
        expired = []
        for caller, when in self.due.items():
            if when > now:
                self._when = when
                self._scheduler.at(when, self)
                break
            expired.append(caller)
        for caller in expired:
            del self.due[caller]
            caller.expire(self._seconds)
        if not self.due:
            self._forget()
        return True

    def _forget(self) -> None:
        self._scheduler.deadlines.pop(self._seconds, None)

    def awaits(self, when: float, /) -> bool:
        """See `scheduler.Entry.awaits`."""
        return when == self._when


def deadlines(scheduler: Scheduler, seconds: float | None) -> Deadline | None:
    """Return the calls with this timeout on this scheduler; None for an infinite timeout, or None.

    Raise TypeError for a timeout that is no number, and ValueError for one that is below 0 or NaN.
    """
    if seconds is None or seconds == inf:
        return None
    found = scheduler.deadlines.get(seconds)
    if found is None:
        given: object = seconds
        if not isinstance(given, int | float):
            raise TypeError(f"the timeout is {given!r}: expected seconds, or None to wait for ever")
        if not seconds >= 0:
            raise ValueError(f"the timeout is {seconds}: expected seconds of at least 0, or None")
        found = scheduler.deadlines[seconds] = Deadlines(scheduler, seconds)
    return found
