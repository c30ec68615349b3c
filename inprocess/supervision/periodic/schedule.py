"""Schedule: when a periodic server is due that has no fixed interval, and its due times one by one."""

from __future__ import annotations

from typing import Final, Protocol

#: Missed due times that are counted one by one; for more, only the last ones are looked for.
MISSES_COUNTED: Final = 1000


class Schedule(Protocol):
    """Due times by the wall clock, such as `inprocess.cron.Cron`."""

    def next_after(self, moment: float, /) -> float:
        """Return the first due time after `moment`, both in seconds since 1970, UTC; math.inf for none.

        Called on the loop, so it must be quick.
        """


class DueTimes:
    """The due times of a schedule, one after the other. Pure but for its own state."""

    __slots__ = ("last", "next", "schedule")

    def __init__(self, schedule: Schedule, since: float) -> None:
        self.schedule = schedule
        #: The last one that has passed, or where it began to look, seconds since 1970.
        self.last = since
        #: The next one.
        self.next = self._after(since)

    def pass_by(self, now: float) -> int:
        """Go on to the first due time after `now`; return how many passed before the last one that did.

        If `next` has not come by `now`, nothing changes. Beyond MISSES_COUNTED it is at least that many.
        """
        passed = 0
        while self.next <= now:
            if passed == MISSES_COUNTED:
                self._leap(now)
            self.last, self.next = self.next, self._after(self.next)
            passed += 1
        return max(0, passed - 1)

    def _leap(self, now: float) -> None:
        """Go to one of the last due times before `now`, wherever the schedule stands."""
        back = 1.0
        while (found := self._after(now - back)) > now:
            back *= 2
        self.next = max(self.next, found)

    def _after(self, moment: float) -> float:
        found = self.schedule.next_after(moment)
        if not found > moment:
            raise ValueError(f"{self.schedule!r} is due at {found}, which is not after {moment}")
        return found
