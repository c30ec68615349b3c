"""What runs the blocks of the measures beside latency, drift, faults and call costs (`bench.owner_turns`).

They are run one by one, after the latency blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench import capacity_block, cold_block, hog_block, load_block, owner_block
from bench.context import Context
from bench.turns import Turn

Run = Callable[[Turn, Context], Awaitable[str]]

#: What runs a turn, by its measure.
RUNS: dict[str, Run] = {
    "capacity": capacity_block.run,
    "load": load_block.run,
    "cold": cold_block.run,
    "owners": owner_block.run,
    "hogs": hog_block.run,
}


async def run(turn: Turn, context: Context) -> str:
    """Run one turn; return why it does not count, or nothing."""
    return await RUNS[turn.measure](turn, context)
