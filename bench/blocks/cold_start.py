"""A cold start: a side is started, one request of each kind goes through it, and it is stopped.

services | broker | worker, app, beat | first effect | stop
"""

from __future__ import annotations

from bench.blocks.block_result import BlockResult
from bench.blocks.context import Context
from bench.measures.events.block import Block
from bench.measures.latency import validity
from bench.measures.latency.cold_start import cold_row
from bench.measures.latency.validity import Noise
from bench.plan.blocks import BlockSpec, block_row
from bench.stack import cpu_usage


async def run(spec: BlockSpec, context: Context) -> str:
    """Start the side and append its rows; return why it does not count, or nothing.

    Starting fills the machine by itself, so a full one is no reason; time that a hypervisor took is.
    """
    stack = context.make_stack(spec)
    before = cpu_usage.read(stack)
    async with stack:
        spent = cpu_usage.between(before, cpu_usage.read(stack))
    events, _ = context.keep_events(spec)
    block = Block(block=spec.name, side=spec.side.name, repetition=spec.repetition, start_ns=0, end_ns=0)
    row = cold_row(block, began=stack.processes.began, listened=stack.processes.listened, events=events)
    stolen = {"steal_percent": spent.steal_percent}
    reason = validity.reason(Noise(**stolen))
    done = block_row(spec, reason, seconds=spent.seconds, **stolen)
    result = BlockResult(spec=spec, spent=spent, tables={"cold": [row]}, row=done)
    return result.append_to(context.directory)
