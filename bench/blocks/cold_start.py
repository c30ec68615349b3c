"""A cold start: a side is started, one request of each kind goes through it, and it is stopped.

services | broker | worker, app, beat | first effect | stop
"""

from __future__ import annotations

from bench.blocks.context import Context
from bench.measures.events.block import Block
from bench.measures.latency import validity
from bench.measures.latency.cold_start import cold_row
from bench.measures.latency.validity import Noise
from bench.measures.load.cpu_shares import own_row
from bench.plan.blocks import Turn, block_row
from bench.stack import cpu_usage


async def run(turn: Turn, context: Context) -> str:
    """Start the side and append its rows; return why it does not count, or nothing.

    Starting fills the machine by itself, so a full one is no reason; time that a hypervisor took is.
    """
    stack = context.make_stack(turn)
    before = cpu_usage.read(stack)
    async with stack:
        spent = cpu_usage.between(before, cpu_usage.read(stack))
    events, _ = context.keep_events(turn)
    block = Block(block=turn.name, side=turn.side.name, repetition=turn.repetition, start_ns=0, end_ns=0)
    row = cold_row(block, began=stack.began, listened=stack.listened, events=events)
    context.directory.append("cold", [row])
    context.directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, spent)])
    stolen = {"steal_percent": spent.steal_percent}
    reason = validity.reason(Noise(**stolen))
    done = block_row(turn, reason, seconds=spent.seconds, **stolen)
    context.directory.append("blocks", [done])
    return reason
