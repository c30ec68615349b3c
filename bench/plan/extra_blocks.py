"""The turns of `--measure owners`: how many owners, at what interval, by which policy of a side. Pure.

No side could run thousands of owners every second on two cores, so the interval is scaled: as many
seconds as `RUNS_PER_S` need, never under one and never over `LONGEST_INTERVAL_S`, or a block would take
ten minutes. So 10,000 owners ask for 500 runs a second, and a side that has no so many misses ticks.
Owners that are in-process alone are those that beat would take hours to queue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.plan.blocks import START_AND_STOP_S, Turn
from bench.plan.owner_fleet import Many, Policy
from bench.plan.profiles import Profile
from bench.plan.sides import Side

#: Runs a second, all owners together, that the interval is scaled for.
RUNS_PER_S = 100.0
#: Seconds between two runs of an owner, at least and at most.
LEAST_INTERVAL_S = 1.0
LONGEST_INTERVAL_S = 20.0
#: Owners that note their runs, at most: what is told of all is told from so many, evenly picked.
MOST_NOTED = 2_000
#: Ticks that a block sees, at least; and seconds.
LEAST_TICKS = 2
LEAST_S = 10.0
#: How each side's users would have many owners.
POLICIES: dict[str, tuple[Policy, ...]] = {
    "inprocess": ("anchored",),
    "celery-stock": ("beat fan-out", "beat entries"),
    "celery-hardened": ("beat fan-out",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerTurn(Turn):
    """One side with so many owners."""

    many: Many

    @property
    def detail(self) -> str:
        """What sets it apart from its side's other blocks."""
        return f"{self.many.owners:,} owners, {self.many.policy}, every {self.many.interval_s:g} s"


def ticks(interval_s: float) -> int:
    """Ticks of each owner in the window of a block."""
    return max(LEAST_TICKS, math.ceil(LEAST_S / interval_s))


def owner_turns(sides: Sequence[Side], profile: Profile) -> list[Turn]:
    """The counts that every side has, then those of in-process alone."""
    turns = [
        _turn(side, policy, count)
        for count in profile.owner_counts
        for side in sides
        for policy in POLICIES.get(side.name, ())
    ]
    alone = [side for side in sides if side.name == "inprocess"]
    turns += [_turn(side, "anchored", count) for count in profile.owner_counts_alone for side in alone]
    return turns


def _turn(side: Side, policy: Policy, count: int) -> Turn:
    interval_s = min(max(LEAST_INTERVAL_S, count / RUNS_PER_S), LONGEST_INTERVAL_S)
    many = Many(owners=count, every=math.ceil(count / MOST_NOTED), interval_s=interval_s, policy=policy)
    return OwnerTurn(
        name=f"o{count}-{policy}-{side.name}".replace(" ", "-"),
        measure="owners",
        side=side,
        repetition=0,
        policy=policy,
        many=many,
        guess_s=START_AND_STOP_S + (1 + ticks(interval_s)) * interval_s,  # the first comes after one interval
    )
