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
from bench.blocks.block_result import BlockResult
from bench.blocks.context import Context
from bench.blocks.measured_window import WindowReadings
from bench.measures.events.clocks import Clocks
from bench.measures.latency import latency
from bench.measures.latency.cold_start import first_effect_s
from bench.measures.load import cost
from bench.plan.blocks import BlockSpec


async def run(spec: BlockSpec, context: Context) -> str:
    """Run the block and append its rows to the run's tables; return why it does not count, or nothing."""
    profile = context.profile
    plan = context.load(spec, seconds=profile.warmup_s + profile.latency_s)
    stack = context.make_stack(spec)
    async with stack:
        readings = await measured_window.observe(spec, context, stack, plan, seconds=profile.latency_s)
    events, _ = context.keep_events(spec)
    cold_s = first_effect_s(stack.processes.began, stack.processes.listened, events)
    return _write(spec, context, readings, events, cold_s=cold_s)


def _write(
    spec: BlockSpec,
    context: Context,
    readings: WindowReadings,
    events: list[dict[str, Any]],
    *,
    cold_s: float,
) -> str:
    block = readings.block
    jobs = latency.job_frame(events, block)
    requests = latency.request_frame(events, block)
    taxed = latency.host_tax_frame(readings.lags, measured_window.idle(readings, context), block)
    rows = [latency.latency_frame(jobs, requests, block), taxed]
    result = BlockResult(
        spec=spec,
        spent=readings.spent,
        tables={
            "jobs": jobs,
            "requests": requests,
            "latency": pd.concat([frame for frame in rows if not frame.empty]),
            "cost": [_cost_row(spec, context, readings, events, cold_s)],
        },
        row=measured_window.block_row(spec, readings, jobs, requests),
    )
    return result.append_to(context.directory)


def _cost_row(
    spec: BlockSpec, context: Context, readings: WindowReadings, events: list[dict[str, Any]], cold_s: float
) -> dict[str, object]:
    clocks = Clocks(events)
    kind = next((kind for kind in ("effect", "done") if clocks.shared("submit", kind)), "")
    done = [event["t"] for event in events if event["event"] == kind]
    return cost.cost_row(
        readings.block,
        before=readings.before,
        after=readings.after,
        jobs=sum(readings.before.t_ns <= t < readings.after.t_ns for t in done) if kind else math.nan,
        config_lines=context.subject.config_lines(spec.side),
        cold_start_s=cold_s,
    )
