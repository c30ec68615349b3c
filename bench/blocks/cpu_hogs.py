"""A hog block: one side under the common load, first alone, then with CPU-heavy jobs beside it.

    start, probe | idle control | warm-up | calm window | window with heavy jobs | drain | stop

The heavy jobs (`bench.app.fault_jobs`, kind hog) are handed over on a grid of their own that does not
react to the side. What they do to requests and to the app's own loop is told by the two windows of the
same block.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.blocks import measured_window
from bench.blocks.context import Context, sleep_until
from bench.blocks.measured_window import Observed
from bench.errors import BenchError
from bench.load import load_plan as plans
from bench.measures.events.block import NS_PER_S, Block
from bench.measures.latency import cpu_hogs, latency
from bench.measures.load.cpu_shares import own_row
from bench.plan.blocks import Turn
from bench.plan.hog_turns import EVERY_S, HOG_S, HogTurn
from bench.stack.stack import Stack

#: Seconds after the last effect of the requests in which the last heavy jobs may end.
LINGER_S = 1.0


async def run(turn: Turn, context: Context) -> str:
    """Run the block and append its rows; return why it does not count, or nothing."""
    if not isinstance(turn, HogTurn):
        raise BenchError(f"{turn.name} is no hog block")
    profile = context.profile
    plan = plans.make_plan(
        seed=context.draw("hogs", turn.repetition).getrandbits(32),
        prefix=turn.name,
        rates=dict.fromkeys(context.requested, profile.rate),
        seconds=profile.warmup_s + profile.calm_s + profile.hogs_s,
    )
    stack = context.make_stack(
        turn,
        odd_jobs=True,
    )

    async def beside(block: Block) -> None:
        await _hand_over(turn, stack, block)

    async with stack:
        seen = await measured_window.observe(
            turn, context, stack, plan, seconds=profile.hogs_s, beside=beside
        )
        await asyncio.sleep(LINGER_S)
    events, _ = context.keep_events(turn)
    return _write(turn, context, seen, events)


async def _hand_over(turn: HogTurn, stack: Stack, block: Block) -> None:
    """One heavy job every EVERY_S of the window, whatever became of the others."""
    options: dict[str, Any] = {"seconds": HOG_S}
    if turn.place != "worker":
        options["isolation"] = turn.place
    async with asyncio.TaskGroup() as group:
        for number in range(_hogs(block)):
            await sleep_until(block.start_ns + int(number * EVERY_S * NS_PER_S))
            group.create_task(stack.odd("hog", f"{number:03}", **options))


def _hogs(block: Block) -> int:
    return int((block.end_ns - block.start_ns) / NS_PER_S / EVERY_S)


def _write(turn: HogTurn, context: Context, seen: Observed, events: list[dict[str, Any]]) -> str:
    directory, busy = context.directory, seen.block
    calm = replace(
        busy, start_ns=busy.start_ns - int(context.profile.calm_s * NS_PER_S), end_ns=busy.start_ns
    )
    frames = [
        cpu_hogs.hog_latency_frame(events, block, seen.lags, place=turn.place, hogs=count)
        for block, count in ((calm, 0), (busy, _hogs(busy)))
    ]
    directory.append_frame("hog_latency", pd.concat(frames))
    row = {
        "block": turn.name,
        "side": turn.side.name,
        "place": turn.place,
        "repetition": turn.repetition,
        "hogs": _hogs(busy),
        "hogs_done": cpu_hogs.hogs_done(events),
        "hog_s": HOG_S,
        "every_s": EVERY_S,
        "calm_s": context.profile.calm_s,
        "seconds": seen.spent.seconds,
        "side_cores": seen.spent.side_s / seen.spent.seconds,
    }
    directory.append("hogs", [row | cpu_hogs.lag_columns(seen.lags, calm, busy)])
    directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, seen.spent)])
    # Lateness is judged in the calm window, hiccups in none: heavy jobs are what both wait behind.
    jobs, requests = latency.job_frame(events, calm), latency.request_frame(events, calm)
    done = measured_window.block_row(
        turn, replace(seen, hiccup={**seen.hiccup, "p99_ms": math.nan}), jobs, requests
    )
    directory.append("blocks", [done])
    return str(done.get("reason", ""))
