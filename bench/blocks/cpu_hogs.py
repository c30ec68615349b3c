"""A hog block: one side under the common load, first alone, then with CPU-heavy jobs beside it.

    start, probe | idle control | warm-up | calm window | window with heavy jobs | drain | stop

The heavy jobs (`bench.app.fault_jobs`, kind hog) are handed over on a grid that does not react to the side.
Their effect on requests and on the app's own loop is the difference of the two windows of the block.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.blocks import measured_window
from bench.blocks.block_result import BlockResult
from bench.blocks.context import Context, sleep_until
from bench.blocks.measured_window import WindowReadings
from bench.errors import BenchError
from bench.measures.events.block import NS_PER_S, Block
from bench.measures.latency import cpu_hogs, latency
from bench.plan.blocks import BlockSpec
from bench.plan.extra_blocks import EVERY_S, HOG_S, HogBlockSpec
from bench.plan.subject import SideOptions
from bench.stack.stack import Stack

#: Seconds after the last effect of the requests in which the last heavy jobs may end.
LINGER_S = 1.0


async def run(spec: BlockSpec, context: Context) -> str:
    """Run the block and append its rows; return why it does not count, or nothing."""
    if not isinstance(spec, HogBlockSpec):
        raise BenchError(f"{spec.name} is no hog block")
    profile = context.profile
    plan = context.load(
        spec,
        seconds=profile.warmup_s + profile.calm_s + profile.hogs_s,
        seed=context.draw("hogs", spec.repetition).getrandbits(32),
        owners=False,
    )
    stack = context.make_stack(spec, SideOptions(fault_jobs=True))

    async def concurrently(block: Block) -> None:
        await _hand_over(spec, stack, block)

    async with stack:
        readings = await measured_window.observe(
            spec, context, stack, plan, seconds=profile.hogs_s, concurrently=concurrently
        )
        await asyncio.sleep(LINGER_S)
    events, _ = context.keep_events(spec)
    return _write(spec, context, readings, events)


async def _hand_over(spec: HogBlockSpec, stack: Stack, block: Block) -> None:
    """One heavy job every EVERY_S of the window, whatever became of the others."""
    options: dict[str, Any] = {"seconds": HOG_S}
    if spec.place != "worker":
        options["isolation"] = spec.place
    async with asyncio.TaskGroup() as group:
        for number in range(_hogs(block)):
            await sleep_until(block.start_ns + int(number * EVERY_S * NS_PER_S))
            group.create_task(stack.client.fault_job("hog", f"{number:03}", **options))


def _hogs(block: Block) -> int:
    return int((block.end_ns - block.start_ns) / NS_PER_S / EVERY_S)


def _write(
    spec: HogBlockSpec, context: Context, readings: WindowReadings, events: list[dict[str, Any]]
) -> str:
    busy = readings.block
    calm = replace(
        busy, start_ns=busy.start_ns - int(context.profile.calm_s * NS_PER_S), end_ns=busy.start_ns
    )
    frames = [
        cpu_hogs.hog_latency_frame(events, block, readings.lags, place=spec.place, hogs=count)
        for block, count in ((calm, 0), (busy, _hogs(busy)))
    ]
    row = {
        "block": spec.name,
        "side": spec.side.name,
        "place": spec.place,
        "repetition": spec.repetition,
        "hogs": _hogs(busy),
        "hogs_done": cpu_hogs.hogs_done(events),
        "hog_s": HOG_S,
        "every_s": EVERY_S,
        "calm_s": context.profile.calm_s,
        "seconds": readings.spent.seconds,
        "side_cores": readings.spent.side_s / readings.spent.seconds,
    }
    # Lateness is judged in the calm window, hiccups in none: heavy jobs are what both wait behind.
    jobs, requests = latency.job_frame(events, calm), latency.request_frame(events, calm)
    done = measured_window.block_row(
        spec, replace(readings, hiccups=replace(readings.hiccups, p99_ms=math.nan)), jobs, requests
    )
    result = BlockResult(
        spec=spec,
        spent=readings.spent,
        tables={
            "hog_latency": pd.concat(frames),
            "hogs": [row | cpu_hogs.lag_columns(readings.lags, calm, busy)],
        },
        row=done,
    )
    return result.append_to(context.directory)
