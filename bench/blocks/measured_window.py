"""A measured window: one side under one plan, watched from an idle control to the last effect.

    idle control | warm-up | measured window | drain

Beside the ledger it sees the loop's lag, the platform's hiccups, what the side used and who used
the processor. A job that is not finished when the drain ends counts as infinitely late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.blocks import hiccups
from bench.blocks.context import Context, sleep_until
from bench.blocks.hiccups import Hiccups
from bench.load.load_plan import LoadPlan
from bench.measures.events.block import NS_PER_S, Block
from bench.measures.events.outstanding import OutstandingJobs
from bench.measures.latency import latency, validity
from bench.measures.load.cpu_shares import CpuShares, bottleneck
from bench.plan import blocks
from bench.plan.blocks import BlockSpec
from bench.stack import cpu_usage
from bench.stack.resources import Sample, sample
from bench.stack.stack import Stack

#: Seconds after the measured window until a job that is not done counts as infinitely late.
DRAIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowReadings:
    """The observations of a block that are not in its ledger."""

    block: Block
    #: The start of the load (monotonic ns); the side is idle until then.
    start_ns: int
    before: Sample
    after: Sample
    lags: list[tuple[int, float]]
    hiccups: Hiccups
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
    """Send the plan's requests and observe. The window is its last `seconds`; the warm-up comes before.

    `concurrently` starts with the window, and the window lasts until it is done.
    """
    profile = context.profile
    await stack.client.sync(plan.owners)
    generator, start_ns = await context.start_generator(stack, plan, lead_s=profile.idle_s)
    block = _window(spec, start_ns + int((plan.seconds - seconds) * NS_PER_S), seconds)
    meter = hiccups.start_meter(context, stack, start_ns=block.start_ns, seconds=seconds)
    before = sample(stack)
    await sleep_until(block.start_ns)
    used_before = cpu_usage.read(stack, generator, concurrently=[meter])
    async with asyncio.TaskGroup() as group:
        if concurrently is not None:
            group.create_task(concurrently(block))
        await sleep_until(block.end_ns)
    used_after = cpu_usage.read(stack, generator, concurrently=[meter])
    await _drain(stack, block)
    after = sample(stack)
    lags = [(int(t), float(lag)) for t, lag in (await stack.client.call("GET", "/lag")).json()]
    await context.end_generator(generator)
    return WindowReadings(
        block=block,
        start_ns=start_ns,
        before=before,
        after=after,
        lags=lags,
        hiccups=await hiccups.end_meter(context, stack, meter),
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
    """The block's row of `blocks.csv`; `also` are further reasons why it does not count."""
    steal_percent = round(readings.spent.steal_percent, 3)
    noise = validity.noise(jobs, requests, steal_percent=steal_percent, hiccup_p99_ms=readings.hiccups.p99_ms)
    columns = {
        **readings.hiccups.columns(),
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


async def _drain(stack: Stack, block: Block) -> None:
    """Wait until every job that was due in the window has ended, at most for DRAIN_S."""
    jobs = OutstandingJobs(
        counts=lambda job: job.due is not None and block.holds(job.due),
        has_ended=lambda job: latency.outcome(job) != "unfinished",
    )
    await stack.until(lambda events: jobs.none_left(events) and jobs.counted > 0, within_s=DRAIN_S)
