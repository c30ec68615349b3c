"""What becomes of a tick: the policies of periodic work, as pure functions and plain records.

Misfire: what happens to ticks that nobody could serve in time, since the loop or the machine
stood still. A tick is a misfire when it is got to more than `grace_s` late; by default that
is the interval, so the last tick that is due is run late and the ones before it are misfires.

| misfire  | 3.5 intervals later, with the default grace                           |
|----------|-----------------------------------------------------------------------|
| skip     | the ticks in time are run, here the last one; misfires are dropped     |
| coalesce | one run for all that is due, however late it is                        |
| catch_up | one run for each tick, the oldest first, CATCH_UP_MAX at most          |

Overlap: what happens to a tick whose predecessor's run has not ended.

| overlap         | the tick that comes too soon                                    |
|-----------------|-----------------------------------------------------------------|
| skip            | is dropped                                                      |
| buffer_one      | runs as soon as the other has ended; a second one is dropped    |
| allow           | runs beside the other                                           |
| cancel_previous | has the other cancelled, and runs as soon as that has ended     |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, get_args

Overlap = Literal["skip", "buffer_one", "allow", "cancel_previous"]
Misfire = Literal["skip", "catch_up", "coalesce"]
#: Returns a number from 0 to below 1, as `random.random` does.
Chance = Callable[[], float]

#: Runs that one server owes at most, however many ticks went by.
CATCH_UP_MAX: Final = 100
#: Distinct sets of options that are kept for servers to share.
SHARED_OPTIONS: Final = 1024


@dataclass(slots=True)
class TickCounts:
    """What became of the ticks: `runs` started; the others were dropped, each for one reason."""

    runs: int = 0
    #: Nobody got to the tick within its grace.
    misfires: int = 0
    #: The run before was not finished.
    overlaps: int = 0
    #: The supervisor took no more work.
    refusals: int = 0
    #: Runs that were told to end for their successor; not a sort of tick.
    cancellations: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """The options of a periodic server; raise ValueError, which names the option, where one makes no sense.

    `jitter_s` delays each tick by `chance() * jitter_s`, drawn anew for each tick and added to
    the tick's own moment; it is below the interval, so that ticks keep their order.
    """

    interval_s: float
    overlap: Overlap = "skip"
    misfire: Misfire = "skip"
    grace_s: float = math.inf
    jitter_s: float = 0.0
    chance: Chance | None = None

    def __post_init__(self) -> None:
        if not 0 < self.interval_s < math.inf:
            raise ValueError(f"the interval is {self.interval_s} s: expected more than 0")
        if self.overlap not in get_args(Overlap):
            raise ValueError(f"overlap is {self.overlap!r}: expected one of {', '.join(get_args(Overlap))}")
        if self.misfire not in get_args(Misfire):
            raise ValueError(f"misfire is {self.misfire!r}: expected one of {', '.join(get_args(Misfire))}")
        if not 0 <= self.jitter_s < self.interval_s:
            raise ValueError(f"jitter_s is {self.jitter_s}: expected 0 to below the interval, or ticks pass")
        if not self.grace_s >= 0:
            raise ValueError(f"grace_s is {self.grace_s}: expected seconds, 0 or more")

    def runs_for(self, missed: int, late_s: float) -> int:
        """How many runs there are to start for `missed` misfires and one more tick, `late_s` late."""
        if self.misfire == "coalesce":
            return 1
        in_time = late_s <= self.grace_s
        if self.misfire == "skip":
            return 1 if in_time else 0
        return min(missed + 1, CATCH_UP_MAX)

    def delay(self) -> float:
        """Seconds that the next tick is put off by."""
        return 0.0 if self.chance is None else self.jitter_s * self.chance()


@lru_cache(SHARED_OPTIONS)
def shared(  # noqa: PLR0917 - positional, since it is called at each start and keywords cost
    interval_s: float, overlap: Overlap, misfire: Misfire, grace_s: float, jitter_s: float, chance: Chance
) -> Schedule:
    """The schedule of these options, one object for all servers that have them alike."""
    return Schedule(interval_s, overlap, misfire, grace_s, jitter_s, chance if jitter_s else None)
