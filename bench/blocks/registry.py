"""What runs the blocks of `bench.plan.extra_blocks`: those beside latency, drift, faults and call costs.

They are run one by one, after the latency blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench.blocks import capacity, cold_start, cpu_hogs, load, owner_fleet
from bench.blocks.context import Context
from bench.plan.blocks import Turn

Run = Callable[[Turn, Context], Awaitable[str]]

#: What runs a turn, by its measure.
RUNS: dict[str, Run] = {
    "capacity": capacity.run,
    "load": load.run,
    "cold": cold_start.run,
    "owners": owner_fleet.run,
    "hogs": cpu_hogs.run,
}


async def run(turn: Turn, context: Context) -> str:
    """Run one turn; return why it does not count, or nothing."""
    return await RUNS[turn.measure](turn, context)
