"""A measured window: one side under one plan, watched from an idle control to the last effect.

    idle control | warm-up | measured window | drain

Beside the ledger it sees the loop's lag, the platform's hiccups, what the side used and who used
the processor. A job that is not finished when the drain ends counts as infinitely late.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.blocks.context import Context, sleep_until
from bench.load.load_plan import LoadPlan
from bench.measures.events.block import NS_PER_S, Block
from bench.measures.latency import latency, validity
from bench.measures.load.cpu_shares import CpuShares, bottleneck
from bench.plan import blocks
from bench.plan.blocks import BlockSpec
from bench.process.process_table import Process
from bench.stack import cpu_usage, hiccup_meter
from bench.stack.resources import Sample, sample
from bench.stack.stack import Stack
from queue_or_task import module_command

#: Seconds after the measured window until a job that is not done counts as infinitely late.
DRAIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowReadings:
    """What a block saw beside its ledger."""

    block: Block
    #: The plan's zero: until then nothing was asked of the side.
    start_ns: int
    before: Sample
    after: Sample
    lags: list[tuple[int, float]]
    hiccup: dict[str, float]
    spent: CpuShares


async def observe(
    spec: BlockSpec,
    context: Context,
    stack: Stack,
    plan: LoadPlan,
    *,
    seconds: float,
    concurrently: Callable[[Block], Coroutine[None, None, None]] | None = None,
) -> WindowReadings:
    """Offer the plan and watch; the window is its last `seconds`, what comes before is the warm-up.

    `concurrently` runs from the window's start on; the window is not over before it is.
    """
    profile = context.profile
    await stack.client.sync(plan.owners)
    generator, start_ns = await context.start_generator(stack, plan, lead_s=profile.idle_s)
    block = _window(spec, start_ns + int((plan.seconds - seconds) * NS_PER_S), seconds)
    hiccup = _start_hiccup(context, stack, block)
    before = sample(stack)
    await sleep_until(block.start_ns)
    used_before = cpu_usage.read(stack, generator, concurrently=[hiccup])
    async with asyncio.TaskGroup() as group:
        if concurrently is not None:
            group.create_task(concurrently(block))
        await sleep_until(block.end_ns)
    used_after = cpu_usage.read(stack, generator, concurrently=[hiccup])
    await stack.until(lambda events: _settled(events, block), within_s=DRAIN_S)
    after = sample(stack)
    lags = [(int(t), float(lag)) for t, lag in (await stack.client.call("GET", "/lag")).json()]
    await context.end_generator(generator)
    await context.table.stop(hiccup)
    return WindowReadings(
        block=block,
        start_ns=start_ns,
        before=before,
        after=after,
        lags=lags,
        hiccup=json.loads((stack.folder / "hiccup.json").read_text()),
        spent=cpu_usage.between(used_before, used_after),
    )


def idle(readings: WindowReadings, context: Context) -> list[tuple[int, float]]:
    """The loop's lags of the idle control."""
    start_ns = readings.start_ns - int(context.profile.idle_s * NS_PER_S)
    return [(t, lag) for t, lag in readings.lags if start_ns <= t < readings.start_ns]


def block_row(
    spec: BlockSpec,
    readings: WindowReadings,
    jobs: pd.DataFrame,
    requests: pd.DataFrame,
    *,
    also: Sequence[str] = (),
) -> dict[str, object]:
    """The block's row of `blocks.csv`; `also` are reasons of its own kind why it does not count."""
    hiccup_p99_ms = readings.hiccup["p99_ms"]
    steal_percent = round(readings.spent.steal_percent, 3)
    noise = validity.noise(jobs, requests, steal_percent=steal_percent, hiccup_p99_ms=hiccup_p99_ms)
    columns = {
        "hiccup_p99_ms": hiccup_p99_ms,
        "hiccup_max_ms": readings.hiccup["max_ms"],
        "steal_percent": steal_percent,
        "lateness_ms": noise.lateness_ms,
        "start_ns": readings.block.start_ns,
        "end_ns": readings.block.end_ns,
    }
    limits = (bottleneck(readings.spent), latency.unsent(requests))
    reason = "; ".join(filter(None, [validity.reason(noise), *limits, *also]))
    seconds = (readings.block.end_ns - readings.block.start_ns) / NS_PER_S
    return blocks.block_row(spec, reason, seconds=seconds, **columns)


def _window(spec: BlockSpec, start_ns: int, seconds: float) -> Block:
    return Block(
        block=spec.name,
        side=spec.side.name,
        repetition=spec.repetition,
        start_ns=start_ns,
        end_ns=start_ns + int(seconds * NS_PER_S),
    )


def _start_hiccup(context: Context, stack: Stack, block: Block) -> Process:
    seconds = (block.end_ns - block.start_ns) / NS_PER_S
    return context.table.start(
        "hiccup",
        module_command(
            hiccup_meter.__name__,
            *("--start-at", str(block.start_ns), "--seconds", str(seconds), "--folder", str(stack.folder)),
        ),
        env=stack.processes.env,
        folder=stack.folder,
    )


def _settled(events: list[dict[str, Any]], block: Block) -> bool:
    jobs = latency.job_frame(events, block)
    return not jobs.empty and bool((jobs["outcome"] != "unfinished").all())
