"""A latency block: one side under the common load, from an idle control to the last effect.

    start, probe | idle control | warm-up | measured window | drain | stop

The load is the same seeded plan for every side of a round. A job that is not finished when the
drain ends counts as infinitely late; it is never dropped.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.blocks import measured_window
from bench.blocks.context import Context
from bench.blocks.measured_window import Observed
from bench.measures.events.clocks import Clocks
from bench.measures.latency import latency
from bench.measures.latency.cold_start import first_effect_s
from bench.measures.load import cost
from bench.measures.load.cpu_shares import own_row
from bench.plan.blocks import Turn
from bench.plan.sides import config_lines


async def run(turn: Turn, context: Context) -> str:
    """Run the block and append its rows to the run's tables; return why it does not count, or nothing."""
    profile = context.profile
    plan = context.load(turn, seconds=profile.warmup_s + profile.latency_s)
    stack = context.make_stack(turn)
    async with stack:
        seen = await measured_window.observe(turn, context, stack, plan, seconds=profile.latency_s)
    events, _ = context.keep_events(turn)
    cold_s = first_effect_s(stack.began, stack.listened, events)
    return _write(turn, context, seen, events, cold_s=cold_s)


def _write(
    turn: Turn, context: Context, seen: Observed, events: list[dict[str, Any]], *, cold_s: float
) -> str:
    directory, block = context.directory, seen.block
    jobs = latency.job_frame(events, block)
    requests = latency.request_frame(events, block)
    taxed = latency.host_tax_frame(seen.lags, measured_window.idle(seen, context), block)
    rows = [latency.latency_frame(jobs, requests, block), taxed]
    directory.append_frame("jobs", jobs)
    directory.append_frame("requests", requests)
    directory.append_frame("latency", pd.concat([frame for frame in rows if not frame.empty]))
    directory.append("cost", [_cost_row(turn, context, seen, events, cold_s)])
    directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, seen.spent)])
    row = measured_window.block_row(turn, seen, jobs, requests)
    directory.append("blocks", [row])
    return str(row.get("reason", ""))


def _cost_row(
    turn: Turn, context: Context, seen: Observed, events: list[dict[str, Any]], cold_s: float
) -> dict[str, object]:
    clocks = Clocks(events)
    kind = next((kind for kind in ("effect", "done") if clocks.shared("submit", kind)), "")
    done = [event["t"] for event in events if event["event"] == kind]
    return cost.cost_row(
        seen.block,
        before=seen.before,
        after=seen.after,
        jobs=sum(seen.before.t_ns <= t < seen.after.t_ns for t in done) if kind else math.nan,
        config_lines=config_lines(turn.side) if context.own is None else context.own.config_lines(turn.side),
        cold_start_s=cold_s,
    )
