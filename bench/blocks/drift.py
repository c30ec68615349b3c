"""A drift block: a few owners synced every second by one policy, and nothing else to do.

All policies of a repetition run side by side, each in a stack of its own, and begin to count
together: what the machine does to one it does to all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pandas as pd

from bench.blocks.context import Context, sleep_until
from bench.measures.events.block import NS_PER_S, Block
from bench.measures.load.cpu_shares import Spent, own_row
from bench.measures.periodic import drift
from bench.plan.blocks import Turn, valid_row
from bench.stack import cpu_usage
from bench.stack.stack import Stack

#: Nanoseconds between two syncs of an owner.
INTERVAL_NS = 1_000_000_000
#: Seconds between the start of the syncs and the first that counts.
SETTLE_S = 2.0
#: Seconds after the window in which the last sync may end.
DRAIN_S = 1.0


#: What one block of a repetition does: wait at the barrier for the others, and be counted.
Run = Callable[[Turn, Context, asyncio.Barrier], Coroutine[Any, Any, None]]


async def run_together(turns: list[Turn], context: Context) -> str:
    """Run every policy of one repetition side by side and append their rows; they count: return nothing."""
    return await side_by_side(turns, context, _run)


async def side_by_side(turns: list[Turn], context: Context, run: Run) -> str:
    """Run each turn beside the others; they count: return nothing."""
    barrier = asyncio.Barrier(len(turns))
    async with asyncio.TaskGroup() as group:
        for turn in turns:
            group.create_task(run(turn, context, barrier))
    return ""


async def counted(stack: Stack, turn: Turn, seconds: float, *, blocks: int) -> tuple[Block, Spent]:
    """Let the window and the last sync in it pass; return the window and what the harness spent in it."""
    start_ns = time.monotonic_ns() + int(SETTLE_S * NS_PER_S)
    block = Block(
        block=turn.name,
        side=turn.side.name,
        repetition=turn.repetition,
        start_ns=start_ns,
        end_ns=start_ns + int(seconds * NS_PER_S),
    )
    await sleep_until(block.start_ns)
    before = cpu_usage.read(stack, blocks=blocks)
    await sleep_until(block.end_ns)
    spent = cpu_usage.between(before, cpu_usage.read(stack, blocks=blocks))
    await sleep_until(block.end_ns + int(DRAIN_S * NS_PER_S))
    return block, spent


def keep(turn: Turn, context: Context, frames: tuple[pd.DataFrame, pd.DataFrame], spent: Spent) -> None:
    """Append the block's ticks, its drift, and what it cost."""
    ticks, rows = frames
    context.directory.append_frame("ticks", ticks)
    context.directory.append_frame("drift", rows)
    context.directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, spent)])
    context.directory.append("blocks", [valid_row(turn, seconds=context.profile.drift_s)])


async def _run(turn: Turn, context: Context, barrier: asyncio.Barrier) -> None:
    stack = context.make_stack(turn, env={"QUEUE_OR_TASK_SYNC_POLICY": turn.policy})
    owners = [f"{turn.name}-owner-{number}" for number in range(context.profile.drift_owners)]
    async with stack:
        await barrier.wait()
        await stack.sync(owners)
        block, spent = await counted(stack, turn, context.profile.drift_s, blocks=barrier.parties)
    events, _ = context.keep_events(turn)
    frames = drift.drift_frames(events, block, policy=turn.policy, interval_ns=INTERVAL_NS, owners=owners)
    keep(turn, context, frames, spent)
