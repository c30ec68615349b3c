"""A drift block: a few owners synced every second by one policy, and nothing else to do.

All policies of a repetition run side by side, each in a stack of its own, and begin to count
together: what the machine does to one it does to all.
"""

from __future__ import annotations

import asyncio
import time

from bench import usage
from bench.context import Context, sleep_until
from bench.measures import drift
from bench.measures.block import Block
from bench.measures.spent import own_row
from bench.turns import Turn, valid_row

#: Nanoseconds between two syncs of an owner.
INTERVAL_NS = 1_000_000_000
#: Seconds between the start of the syncs and the first that counts.
SETTLE_S = 2.0
#: Seconds after the window in which the last sync may end.
DRAIN_S = 1.0


async def run_together(turns: list[Turn], context: Context) -> str:
    """Run every policy of one repetition side by side and append their rows; they count: return nothing."""
    barrier = asyncio.Barrier(len(turns))
    async with asyncio.TaskGroup() as group:
        for turn in turns:
            group.create_task(_run(turn, context, barrier))
    return ""


async def _run(turn: Turn, context: Context, barrier: asyncio.Barrier) -> None:
    stack = context.make_stack(
        turn,
        env={"QUEUE_OR_TASK_SYNC_POLICY": turn.policy},
    )
    async with stack:
        await barrier.wait()
        owners = [f"{turn.name}-owner-{number}" for number in range(context.profile.drift_owners)]
        for owner in owners:
            (await stack.call("PUT", f"/sync/{owner}")).raise_for_status()
        start_ns = time.monotonic_ns() + int(SETTLE_S * 1e9)
        block = Block(
            block=turn.name,
            side=turn.side.name,
            repetition=turn.repetition,
            start_ns=start_ns,
            end_ns=start_ns + int(context.profile.drift_s * 1e9),
        )
        await sleep_until(block.start_ns)
        before = usage.read(stack, blocks=barrier.parties)
        await sleep_until(block.end_ns)
        spent = usage.between(before, usage.read(stack, blocks=barrier.parties))
        await sleep_until(block.end_ns + int(DRAIN_S * 1e9))
    events, _ = context.keep_events(turn)
    ticks, rows = drift.drift_frames(
        events, block, policy=turn.policy, interval_ns=INTERVAL_NS, owners=owners
    )
    context.directory.append_frame("ticks", ticks)
    context.directory.append_frame("drift", rows)
    context.directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, spent)])
    context.directory.append("blocks", [valid_row(turn, seconds=context.profile.drift_s)])
