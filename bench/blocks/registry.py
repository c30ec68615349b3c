"""The measures beside latency, drift, faults and call costs: the turns of each, and what runs them.

They are run one by one, after the latency blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bench.blocks import capacity, cold_start, cpu_hogs, load, owner_fleet
from bench.blocks.context import Context
from bench.load.load_plan import REQUESTED
from bench.plan.blocks import Turn
from bench.plan.cold_turns import cold_turns
from bench.plan.extra_blocks import owner_turns
from bench.plan.hog_turns import hog_turns
from bench.plan.load_turns import load_turns
from bench.plan.profiles import Profile
from bench.plan.sides import Side
from scenarios.jobs import ACCOUNT_SYNC

Run = Callable[[Turn, Context], Awaitable[str]]

#: What runs a turn, by its measure.
RUNS: dict[str, Run] = {
    "capacity": capacity.run,
    "load": load.run,
    "cold": cold_start.run,
    "owners": owner_fleet.run,
    "hogs": cpu_hogs.run,
}


def further_turns(
    measures: Sequence[str],
    sides: Sequence[Side],
    scenarios: Sequence[str],
    profile: Profile,
    *,
    own: bool = False,
) -> list[Turn]:
    """The turns of those measures that were asked for and have something to measure.

    The tasks of an app of one's `own` arrive as requests, whatever they are called.
    """
    requested = own or any(scenario in REQUESTED for scenario in scenarios)
    return [
        *(load_turns(sides, profile) if "load" in measures and requested else []),
        *(cold_turns(sides, profile) if "cold" in measures else []),
        *(hog_turns(sides, profile) if "hogs" in measures and requested else []),
        *(owner_turns(sides, profile) if "owners" in measures and ACCOUNT_SYNC in scenarios else []),
    ]


async def run(turn: Turn, context: Context) -> str:
    """Run one turn; return why it does not count, or nothing."""
    return await RUNS[turn.measure](turn, context)
