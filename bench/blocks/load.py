"""A load block: one side at a share of its own measured capacity.

    start, probe | idle control | warm-up | measured window | drain | stop

As a latency block, with a rate of its own for each side. Above the capacity the backlog grows for as
long as the load lasts: such a block tells of the growth, not of quantiles. A side none of whose ramps
counts has no capacity, and its load blocks do not count either.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.blocks import measured_window
from bench.blocks.capacity import cores
from bench.blocks.context import Context
from bench.blocks.measured_window import Observed
from bench.errors import BenchError
from bench.load.load_plan import MAX_RATE
from bench.measures.latency import latency
from bench.measures.load import backlog, load
from bench.measures.load.cpu_shares import own_row
from bench.plan.blocks import NOT_OFFERED, Turn, invalid_row
from bench.plan.load_turns import WARMUP_S, LoadTurn


async def run(turn: Turn, context: Context) -> str:
    """Run the block and append its rows; return why it does not count, or nothing."""
    if not isinstance(turn, LoadTurn):
        raise BenchError(f"{turn.name} is no load block")
    table = context.directory.table
    capacity = load.capacity_of(turn.side.name, table("capacity"), table("blocks"))
    rate = turn.share * capacity
    if reason := _unoffered(rate):
        context.directory.append("blocks", [invalid_row(turn, reason)])
        return reason
    profile = context.profile
    seed = context.draw("share", turn.share, turn.repetition).getrandbits(32)
    plan = context.load(turn, seconds=WARMUP_S + profile.share_s, seed=seed, rate=rate)
    stack = context.make_stack(turn)
    async with stack:
        seen = await measured_window.observe(turn, context, stack, plan, seconds=profile.share_s)
    events, _ = context.keep_events(turn)
    return _write(turn, context, seen, events, rate=rate, capacity=capacity)


def _unoffered(rate: float) -> str:
    """Why no such rate can be offered, or nothing."""
    if math.isnan(rate):
        return f"{NOT_OFFERED}no ramp of this side counts, so its capacity is not known"
    if rate > MAX_RATE:
        return f"{NOT_OFFERED}{rate:.0f} requests a second, where one generator offers {MAX_RATE:.0f}"
    return ""


def _write(
    turn: LoadTurn,
    context: Context,
    seen: Observed,
    events: list[dict[str, Any]],
    *,
    rate: float,
    capacity: float,
) -> str:
    directory, block, share = context.directory, seen.block, turn.share
    jobs, requests = latency.job_frame(events, block), latency.request_frame(events, block)
    waited = backlog.backlog(backlog.jobs(events), block.start_ns, block.end_ns)
    quantiles = [
        latency.latency_frame(jobs, requests, block),
        latency.host_tax_frame(seen.lags, measured_window.idle(seen, context), block),
    ]
    whole = pd.concat([frame for frame in quantiles if not frame.empty])
    directory.append_frame("load_latency", load.load_latency_frame(whole, waited, share=share, rate=rate))
    row = load.load_row(block, jobs, waited, share=share, rate=rate, capacity=capacity)
    directory.append("loads", [row | cores(seen.spent)])
    directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, seen.spent)])
    done = measured_window.block_row(turn, seen, jobs, requests)
    directory.append("blocks", [done])
    return str(done.get("reason", ""))
