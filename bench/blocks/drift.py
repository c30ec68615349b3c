"""A drift block: periodic work by one policy, and nothing else to do.

All policies of a repetition run side by side, each in a stack of its own, and begin to count
together: what the machine does to one it does to all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import pandas as pd

from bench.blocks import hiccups
from bench.blocks.block_result import BlockResult
from bench.blocks.context import Context, sleep_until
from bench.blocks.hiccups import Hiccups
from bench.measures.events.block import NS_PER_S, Block, Event
from bench.measures.events.periodic_runs import runs_by_owner
from bench.measures.load.cpu_shares import CpuShares
from bench.measures.periodic import drift
from bench.plan.blocks import BlockSpec, valid_row
from bench.plan.subject import SideOptions
from bench.stack import cpu_usage
from bench.stack.stack import Stack

#: Seconds within which what ticks by itself should run once; what does not is missed from the first tick on.
FIRST_TICK_S = 15.0
#: Seconds between the start of the syncs and the first that counts.
SETTLE_S = 2.0
#: Seconds after the window in which the last sync may end.
DRAIN_S = 1.0


async def run_together(specs: list[BlockSpec], context: Context) -> str:
    """Run every policy of one repetition side by side and append their rows; they count: return nothing.

    One hiccup meter runs beside all of them.
    """
    barrier = asyncio.Barrier(len(specs))
    metered = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        for spec in specs:
            group.create_task(_run(spec, context, barrier, metered))
    return ""


async def _metered_window(
    context: Context,
    stack: Stack,
    spec: BlockSpec,
    barrier: asyncio.Barrier,
    metered: asyncio.Future[Hiccups],
    *,
    has_meter: bool,
) -> tuple[Block, CpuShares]:
    """Let the window and the last sync in it pass; return the window and what was spent in it.

    The block that `has_meter` passes its hiccups to the others through `metered`.
    """
    seconds = context.profile.drift_s
    start_ns = time.monotonic_ns() + int(SETTLE_S * NS_PER_S)
    block = Block(
        block=spec.name,
        side=spec.side.name,
        repetition=spec.repetition,
        start_ns=start_ns,
        end_ns=start_ns + int(seconds * NS_PER_S),
    )
    meter = None
    if has_meter:
        meter = hiccups.start_meter(context, stack, start_ns=start_ns, seconds=seconds)
    measuring = [meter] if meter else []
    await sleep_until(block.start_ns)
    before = cpu_usage.read(stack, concurrently=measuring, blocks=barrier.parties)
    await sleep_until(block.end_ns)
    spent = cpu_usage.between(before, cpu_usage.read(stack, concurrently=measuring, blocks=barrier.parties))
    if meter:
        metered.set_result(await hiccups.end_meter(context, stack, meter))
    await sleep_until(block.end_ns + int(DRAIN_S * NS_PER_S))
    return block, spent


async def _run(
    spec: BlockSpec, context: Context, barrier: asyncio.Barrier, metered: asyncio.Future[Hiccups]
) -> None:
    ticking = context.subject.tick_plan(spec, owners=context.profile.drift_owners)
    stack = context.make_stack(spec, SideOptions(periodic=True))
    async with stack:
        await stack.until(lambda events: ticking.unasked <= _ticked(events), within_s=FIRST_TICK_S)
        place = await barrier.wait()
        await stack.client.sync(ticking.asked)
        block, spent = await _metered_window(context, stack, spec, barrier, metered, has_meter=place == 0)
        noise = {"steal_percent": spent.steal_percent, **(await metered).columns()}
    events, _ = context.keep_events(spec)
    made = [
        drift.drift_frames(
            events,
            block,
            policy=grid.policy,
            interval_ns=int(grid.interval_s * NS_PER_S),
            owners=grid.owners,
        )
        for grid in ticking.grids
    ]
    result = BlockResult(
        spec=spec,
        spent=spent,
        tables={
            "ticks": pd.concat([ticks for ticks, _ in made]),
            "drift": pd.concat([rows for _, rows in made]),
        },
        row=valid_row(
            spec,
            seconds=context.profile.drift_s,
            start_ns=block.start_ns,
            end_ns=block.end_ns,
            **noise,
        ),
    )
    result.append_to(context.directory)


def _ticked(events: Iterable[Event]) -> set[str]:
    """The owners that ran at least once."""
    return {owner for owner, runs in runs_by_owner(events).items() if runs}
