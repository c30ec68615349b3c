"""Cron expressions as the schedule of a `Periodic`: `pip install queue-or-task[cron]`.

    from inprocess.cron import Cron

    Periodic.start(spawn, schedule=Cron("0 3 * * *", tz="Europe/Berlin"), state=..., name="report")

Five fields, minute to day of the week, or six with seconds first; names (MON, JAN), ranges, steps, lists,
`L` and `#`. The parser is cronsim's, and so is what happens when the clocks change, as in Debian's cron:
what falls into the hour that is skipped runs right after it, and what falls into the hour that comes twice
runs once, unless its minute or hour is a wildcard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from math import inf
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

try:
    from cronsim import CronSim, CronSimError
except ImportError as error:  # pragma: no cover - the tests have it
    raise ImportError("inprocess.cron needs cronsim: pip install 'queue-or-task[cron]'") from error


@dataclass(frozen=True, slots=True)
class Cron:
    """The due times of a cron expression, in a time zone: a name such as "Europe/Berlin", or a tzinfo.

    Raise ValueError for an expression that cannot be read, one that is never due, and an unknown time zone.
    """

    expression: str
    tz: tzinfo | str = UTC
    _zone: tzinfo = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            zone = ZoneInfo(self.tz) if isinstance(self.tz, str) else self.tz
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f"the time zone is {self.tz!r}: expected a name as in 'Europe/Berlin' (if the system has no "
                "database of them, pip install tzdata)"
            ) from error
        object.__setattr__(self, "_zone", zone)
        try:
            CronSim(self.expression, datetime.now(zone))
        except CronSimError as error:
            raise ValueError(
                f"the cron expression is {self.expression!r}: {error}; expected five fields: minute, hour, "
                "day, month, day of the week"
            ) from error

    def next_after(self, moment: float, /) -> float:
        """See `Schedule.next_after`."""
        began = datetime.fromtimestamp(moment, self._zone)
        return next((due.timestamp() for due in CronSim(self.expression, began)), inf)
