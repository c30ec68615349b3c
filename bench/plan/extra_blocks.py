"""The blocks of the measures beside latency, drift, faults and call costs: load, cold, hogs and owners. Pure.

Load: the capacity of each side first, by ramps, then blocks at shares of it. Cold: every side is started so
many times. Hogs: heavy jobs in every place that a side has for them. They go over the sides forwards and
backwards in turn.

Owners: how many, at what interval, by which policy of a side. No side could run thousands of owners every
second on two cores, so the interval is scaled: as many seconds as `RUNS_PER_S` need, never under one and
never over `LONGEST_INTERVAL_S`, or a block would take ten minutes. So 10,000 owners ask for 500 runs a
second, and a side that cannot do so many misses ticks. Owners that are in-process alone are those that beat
would take hours to queue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.load import ramp
from bench.plan.blocks import START_AND_STOP_S, BlockSpec
from bench.plan.owner_fleet import OwnerFleet, Policy
from bench.plan.profiles import Profile
from bench.plan.sides import Side
from scenarios.jobs import ACCOUNT_SYNC

PlaceT = TypeVar("PlaceT")
#: Seconds of load before the measured window: at 80 % a queue takes its time to settle.
WARMUP_S = 2.0
#: Estimated seconds that jobs above the capacity take to clear.
CLEAR_S = 1.0
#: Part of a ramp that a side reaches, as seen: the mean over the sides.
CLIMBED = 0.6
#: Seconds of processor time that each heavy job takes, and from one to the next: two fifths of a core.
HOG_S = 0.2
EVERY_S = 0.5
#: Where a side can run them. In the call itself (inline) they are part of the request.
PLACES = {
    "inprocess": ("loop", "thread", "process"),
    "celery-stock": ("worker",),
    "celery-hardened": ("worker",),
}
#: Runs a second, all owners together, that the interval is scaled for.
RUNS_PER_S = 100.0
#: Seconds between two runs of an owner, at least and at most.
LEAST_INTERVAL_S = 1.0
LONGEST_INTERVAL_S = 20.0
#: Most owners that record their runs; they are picked evenly, and the figures come from them.
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


def make_extra_blocks(
    measures: Sequence[str],
    sides: Sequence[Side],
    scenarios: Sequence[str],
    profile: Profile,
    *,
    requested: bool,
) -> list[BlockSpec]:
    """Return the blocks of the chosen measures that have something to measure.

    `requested` tells whether any load arrives as requests.
    """
    return [
        *(load_blocks(sides, profile) if "load" in measures and requested else []),
        *(cold_blocks(sides, profile) if "cold" in measures else []),
        *(hog_blocks(sides, profile) if "hogs" in measures and requested else []),
        *(owner_blocks(sides, profile) if "owners" in measures and ACCOUNT_SYNC in scenarios else []),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBlockSpec(BlockSpec):
    """One side at a share of its capacity."""

    share: float

    @property
    def detail(self) -> str:
        """The part of the label that differs between blocks of one side."""
        return f"at {self.share:.0%} of its capacity"


def load_blocks(sides: Sequence[Side], profile: Profile) -> list[BlockSpec]:
    """The ramps, then every share of every side, forwards and backwards in turn."""
    return [*_ramps(sides, profile), *_shares(sides, profile)]


def _ramps(sides: Sequence[Side], profile: Profile) -> list[BlockSpec]:
    return [
        BlockSpec(
            name=f"c{repetition:02}-{side.name}",
            measure="capacity",
            side=side,
            repetition=repetition,
            guess_s=CLIMBED * len(ramp.rates()) * profile.ramp_step_s + START_AND_STOP_S,
        )
        for repetition in range(profile.ramps)
        for side in _abba_order(sides, repetition)
    ]


def _shares(sides: Sequence[Side], profile: Profile) -> list[BlockSpec]:
    return [
        LoadBlockSpec(
            name=f"l{repetition:02}-{share:.0%}-{side.name}".replace("%", "pc"),
            measure="load",
            side=side,
            repetition=repetition,
            share=share,
            guess_s=profile.idle_s + WARMUP_S + profile.share_s + START_AND_STOP_S + CLEAR_S,
        )
        for repetition in range(profile.share_repetitions)
        for share in profile.shares
        for side in _abba_order(sides, repetition)
    ]


def cold_blocks(sides: Sequence[Side], profile: Profile) -> list[BlockSpec]:
    """Every cold start."""
    return [
        BlockSpec(
            name=f"s{repetition:02}-{side.name}",
            measure="cold",
            side=side,
            repetition=repetition,
            guess_s=START_AND_STOP_S,
        )
        for repetition in range(profile.cold_starts)
        for side in _abba_order(sides, repetition)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class HogBlockSpec(BlockSpec):
    """One side with heavy jobs in one place."""

    place: str

    @property
    def detail(self) -> str:
        """The part of the label that differs between blocks of one side."""
        return f"heavy jobs in its {self.place}" if self.place == "worker" else f"heavy jobs: {self.place}"


def hog_blocks(sides: Sequence[Side], profile: Profile) -> list[BlockSpec]:
    """Every place of every side, forwards and backwards in turn."""
    places = [(side, place) for side in sides for place in PLACES.get(side.name, ())]
    return [
        HogBlockSpec(
            name=f"h{repetition:02}-{place}-{side.name}",
            measure="hogs",
            side=side,
            repetition=repetition,
            place=place,
            guess_s=profile.idle_s + profile.warmup_s + profile.calm_s + profile.hogs_s + START_AND_STOP_S,
        )
        for repetition in range(profile.hog_repetitions)
        for side, place in _abba_order(places, repetition)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerBlockSpec(BlockSpec):
    """One side with so many owners."""

    fleet: OwnerFleet

    @property
    def detail(self) -> str:
        """The part of the label that differs between blocks of one side."""
        return f"{self.fleet.owners:,} owners, {self.fleet.policy}, every {self.fleet.interval_s:g} s"


def ticks(interval_s: float) -> int:
    """Ticks of each owner in the window of a block."""
    return max(LEAST_TICKS, math.ceil(LEAST_S / interval_s))


def owner_blocks(sides: Sequence[Side], profile: Profile) -> list[BlockSpec]:
    """The counts that every side has, then those of in-process alone."""
    specs = [
        _spec(side, policy, count)
        for count in profile.owner_counts
        for side in sides
        for policy in POLICIES.get(side.name, ())
    ]
    alone = [side for side in sides if side.name == "inprocess"]
    specs += [_spec(side, "anchored", count) for count in profile.owner_counts_alone for side in alone]
    return specs


def _spec(side: Side, policy: Policy, count: int) -> BlockSpec:
    interval_s = min(max(LEAST_INTERVAL_S, count / RUNS_PER_S), LONGEST_INTERVAL_S)
    fleet = OwnerFleet(
        owners=count, every=math.ceil(count / MOST_NOTED), interval_s=interval_s, policy=policy
    )
    return OwnerBlockSpec(
        name=f"o{count}-{policy}-{side.name}".replace(" ", "-"),
        measure="owners",
        side=side,
        repetition=0,
        policy=policy,
        fleet=fleet,
        guess_s=START_AND_STOP_S + (1 + ticks(interval_s)) * interval_s,  # the first comes after one interval
    )


def _abba_order(places: Sequence[PlaceT], repetition: int) -> Sequence[PlaceT]:
    """Forwards, or backwards in every other repetition."""
    return places if repetition % 2 == 0 else places[::-1]
