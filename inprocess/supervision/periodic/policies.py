"""Policies of periodic work for ticks that are late or overlap, as pure functions.

Misfire: a tick that is served more than `grace_s` late, because the loop stood still, the machine was
suspended, or, with `state=`, no process ran. The default grace lasts until the next tick: the last one that
is due runs late, the ones before it are misfires.

| misfire  | 3.5 intervals later, with the default grace                            |
|----------|------------------------------------------------------------------------|
| skip     | run the ticks in time, here the last one; drop misfires                |
| coalesce | one run for all ticks that are due, however late                       |
| catch_up | one run for each tick, oldest first, at most CATCH_UP_MAX              |

Overlap: a tick comes while the run before it has not ended.

| overlap         | the tick                                                        |
|-----------------|-----------------------------------------------------------------|
| skip            | is dropped                                                      |
| buffer_one      | runs when the other run has ended; a second tick is dropped     |
| allow           | runs concurrently                                               |
| cancel_previous | cancels the other run, and runs when that has ended             |
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

#: Most runs that one server makes up for, however many ticks were missed.
CATCH_UP_MAX: Final = 100
#: Distinct sets of options that are kept for servers to share.
SHARED_OPTIONS: Final = 1024


@dataclass(slots=True)
class TickCounts:
    """Number of ticks by outcome: `runs` were started, the others dropped for one reason each."""

    runs: int = 0
    #: Not served within its grace.
    misfires: int = 0
    #: The run before had not ended.
    overlaps: int = 0
    #: The supervisor refused the run.
    refusals: int = 0
    #: Runs that were cancelled for their successor; not an outcome of a tick.
    cancellations: int = 0


@dataclass(frozen=True, slots=True)
class PeriodicOptions:
    """The options of a periodic server; raise ValueError, which names the option, if one is out of range.

    `interval_s` is math.inf where a schedule says when it is due. `jitter_s` delays each tick by `chance()
    * jitter_s`, drawn anew for each tick. It is below the interval, so that ticks keep their order.
    """

    interval_s: float
    overlap: Overlap = "skip"
    misfire: Misfire = "skip"
    grace_s: float = math.inf
    jitter_s: float = 0.0
    chance: Chance | None = None

    def __post_init__(self) -> None:
        if not self.interval_s > 0:
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
        """Return the number of runs to start for `missed` misfires and one more tick, `late_s` late."""
        if self.misfire == "coalesce":
            return 1
        in_time = late_s <= self.grace_s
        if self.misfire == "skip":
            return 1 if in_time else 0
        return min(missed + 1, CATCH_UP_MAX)

    def delay(self) -> float:
        """Return the delay of the next tick, s."""
        return 0.0 if self.chance is None else self.jitter_s * self.chance()


@lru_cache(SHARED_OPTIONS)
def shared(  # noqa: PLR0917 - positional, since it is called at each start and keywords cost
    interval_s: float, overlap: Overlap, misfire: Misfire, grace_s: float, jitter_s: float, chance: Chance
) -> PeriodicOptions:
    """Return the record of these options, one for all servers that have the same."""
    return PeriodicOptions(interval_s, overlap, misfire, grace_s, jitter_s, chance if jitter_s else None)
