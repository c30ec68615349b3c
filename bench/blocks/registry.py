"""What runs the blocks of `bench.plan.extra_blocks`: those beside latency, drift, faults and call costs.

They are run one by one, after the latency blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench.blocks import capacity, cold_start, cpu_hogs, load, owner_fleet
from bench.blocks.context import Context
from bench.plan.blocks import BlockSpec

Run = Callable[[BlockSpec, Context], Awaitable[str]]

#: What runs a block, by its measure.
RUNS: dict[str, Run] = {
    "capacity": capacity.run,
    "load": load.run,
    "cold": cold_start.run,
    "owners": owner_fleet.run,
    "hogs": cpu_hogs.run,
}


async def run(spec: BlockSpec, context: Context) -> str:
    """Run one block; return why it does not count, or nothing."""
    return await RUNS[spec.measure](spec, context)
