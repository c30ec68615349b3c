"""When the ticks of an entry are due: on the grid k * interval since 1970, or when its calendar says.

Seconds since 1970, UTC, by the broker's clock (`redis.server_clock`). Both are computed from the moment asked
about alone: no beat's start, sleep or slow send moves a tick, and a successor goes on at the moments of its
predecessor without any state.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

from celery.schedules import schedule

#: Missed ticks of a calendar that are counted one by one; more are as good as so many.
COUNT_MAX: Final = 10_000
#: Seconds to begin with when the last tick of a calendar is looked for; doubled until one is found.
LOOK_BACK_S: Final = 60.0


class TimetableError(ValueError):
    """The ticks of a schedule cannot be computed; the text says why."""


class Span(NamedTuple):
    """The ticks after one moment up to another: the last of them (None: there is none) and how many."""

    last: float | None
    ticks: int


class Timetable(Protocol):
    """The moments at which an entry is due."""

    def after(self, moment: float) -> float:
        """Return the first tick later than `moment`."""

    def span(self, since: float, now: float) -> Span:
        """Return the ticks later than `since` and not later than `now`."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The moments k * interval; raise TimetableError for an interval not above 0."""

    interval_s: float

    def __post_init__(self) -> None:
        if not 0 < self.interval_s < math.inf:
            raise TimetableError(f"the interval is {self.interval_s} s: expected more than 0")

    def at(self, k: int) -> float:
        """Return when tick `k` is due."""
        return k * self.interval_s

    def last(self, now: float) -> int:
        """Return the last tick that is due at `now`."""
        k = math.floor(now / self.interval_s)
        if self.at(k + 1) <= now:  # the division may round the wrong way, either way
            return k + 1
        return k if self.at(k) <= now else k - 1

    def after(self, moment: float) -> float:
        """As `Timetable.after`."""
        return self.at(self.last(moment) + 1)

    def span(self, since: float, now: float) -> Span:
        """As `Timetable.span`."""
        last = self.last(now)
        count = last - self.last(since)
        return Span(self.at(last), count) if count > 0 else Span(None, 0)


class Calendar:
    """The moments of any other schedule of Celery's, such as crontab, asked through its public method.

    Where the clocks change it is Celery's to say: in a zone with summer time, `crontab` has no ticks in the
    hour that comes twice, after its first time. Celery's default zone is UTC.
    """

    def __init__(self, of: Any) -> None:
        self._moment = datetime.now(UTC)
        self._schedule: Any = copy.copy(of)
        self._schedule.nowfun = lambda: self._moment

    def after(self, moment: float) -> float:
        """As `Timetable.after`; raise TimetableError where the schedule knows none."""
        self._moment = datetime.fromtimestamp(moment, tz=UTC)
        ahead = self._schedule.remaining_estimate(self._moment).total_seconds()
        if ahead <= 0:
            raise TimetableError(f"{self._schedule!r} knows no moment after {self._moment.isoformat()}")
        return round(moment + float(ahead), 6)

    def span(self, since: float, now: float) -> Span:
        """As `Timetable.span`; the count ends at COUNT_MAX, the last tick is the last all the same."""
        last, count, tick = None, 0, self.after(since)
        while tick <= now and count < COUNT_MAX:
            last, count, tick = tick, count + 1, self.after(tick)
        return Span(self._last(now) if tick <= now else last, count)

    def _last(self, now: float) -> float:
        back = LOOK_BACK_S
        while (tick := self.after(now - back)) > now:
            back *= 2
        while tick <= now:
            last, tick = tick, self.after(tick)
        return last


def timetable(of: Any) -> Timetable:
    """Return the moments of a schedule of Celery's: an interval's are the grid; raise TimetableError."""
    if type(of) is schedule:
        return Grid(float(of.seconds))
    return Calendar(of)
