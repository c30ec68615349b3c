"""A load block: one side at a share of its own measured capacity.

    start, probe | idle control | warm-up | measured window | drain | stop

As a latency block, with another rate for each side. Above the capacity the backlog grows for as long as the
load lasts, so such a block reports the growth and no quantiles. A side without a ramp that counts has no
capacity, and its load blocks do not count either.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.blocks import measured_window
from bench.blocks.block_result import BlockResult
from bench.blocks.capacity import cores
from bench.blocks.context import Context
from bench.blocks.measured_window import WindowReadings
from bench.errors import BenchError
from bench.load.load_plan import MAX_RATE
from bench.measures.latency import latency
from bench.measures.load import backlog, load
from bench.plan.blocks import NOT_OFFERED, BlockSpec, invalid_row
from bench.plan.extra_blocks import WARMUP_S, LoadBlockSpec


async def run(spec: BlockSpec, context: Context) -> str:
    """Run the block and append its rows; return why it does not count, or nothing."""
    if not isinstance(spec, LoadBlockSpec):
        raise BenchError(f"{spec.name} is no load block")
    table = context.directory.table
    capacity = load.capacity_of(spec.side.name, table("capacity"), table("blocks"))
    rate = spec.share * capacity
    if reason := _unoffered(rate):
        context.directory.append("blocks", [invalid_row(spec, reason)])
        return reason
    profile = context.profile
    seed = context.draw("share", spec.share, spec.repetition).getrandbits(32)
    plan = context.load(spec, seconds=WARMUP_S + profile.share_s, seed=seed, rate=rate)
    stack = context.make_stack(spec)
    async with stack:
        readings = await measured_window.observe(spec, context, stack, plan, seconds=profile.share_s)
    events, _ = context.keep_events(spec)
    return _write(spec, context, readings, events, rate=rate, capacity=capacity)


def _unoffered(rate: float) -> str:
    """Why no such rate can be offered, or nothing."""
    if math.isnan(rate):
        return f"{NOT_OFFERED}no ramp of this side counts, so its capacity is not known"
    if rate > MAX_RATE:
        return f"{NOT_OFFERED}{rate:.0f} requests a second, where one generator offers {MAX_RATE:.0f}"
    return ""


def _write(
    spec: LoadBlockSpec,
    context: Context,
    readings: WindowReadings,
    events: list[dict[str, Any]],
    *,
    rate: float,
    capacity: float,
) -> str:
    block, share = readings.block, spec.share
    jobs, requests = latency.job_frame(events, block), latency.request_frame(events, block)
    waited = backlog.backlog(backlog.jobs(events), block.start_ns, block.end_ns)
    quantiles = [
        latency.latency_frame(jobs, requests, block),
        latency.host_tax_frame(readings.lags, measured_window.idle(readings, context), block),
    ]
    whole = pd.concat([frame for frame in quantiles if not frame.empty])
    row = load.load_row(block, jobs, waited, share=share, rate=rate, capacity=capacity)
    result = BlockResult(
        spec=spec,
        spent=readings.spent,
        tables={
            "load_latency": load.load_latency_frame(whole, waited, share=share, rate=rate),
            "loads": [row | cores(readings.spent)],
        },
        row=measured_window.block_row(spec, readings, jobs, requests),
    )
    return result.append_to(context.directory)
