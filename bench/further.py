"""The measures beside latency, drift, faults and call costs: the turns of each, and what runs them.

They are run one by one, after the latency blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bench import capacity_block, cold_block, hog_block, load_block, owner_block
from bench.cold_turns import cold_turns
from bench.context import Context
from bench.hog_turns import hog_turns
from bench.load_turns import load_turns
from bench.owner_turns import owner_turns
from bench.plan import REQUESTED
from bench.profiles import Profile
from bench.sides import Side
from bench.turns import Turn
from scenarios.jobs import ACCOUNT_SYNC

Run = Callable[[Turn, Context], Awaitable[str]]

#: What runs a turn, by its measure.
RUNS: dict[str, Run] = {
    "capacity": capacity_block.run,
    "load": load_block.run,
    "cold": cold_block.run,
    "owners": owner_block.run,
    "hogs": hog_block.run,
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
