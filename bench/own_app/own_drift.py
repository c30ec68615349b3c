"""A drift block of an app of your own: every entry of its schedule that is measured, and nothing else to do.

In-process they are run by the beat of `inprocess.celery`, on the other side by Celery's own. The sides
run side by side and begin to count together. The grid has the entry's own interval.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pandas as pd

from bench.blocks import drift as drift_block
from bench.blocks.context import Context
from bench.errors import BenchError
from bench.measures.events.block import NS_PER_S, Block, Event
from bench.measures.events.periodic_runs import runs_by_owner
from bench.measures.periodic import drift
from bench.own_app.own_app import OwnApp
from bench.plan.blocks import Turn

#: Seconds within which each entry should have run once; one that has not is missed from the first tick on.
FIRST_TICK_S = 15.0


async def run_together(turns: list[Turn], context: Context) -> str:
    """Run both sides of one repetition side by side and append their rows; they count: return nothing."""
    return await drift_block.side_by_side(turns, context, _run)


async def _run(turn: Turn, context: Context, barrier: asyncio.Barrier) -> None:
    own = context.own
    if own is None:
        raise BenchError(f"{turn.name} is no block of an app of one's own")
    stack = context.make_stack(turn, periodic=True)
    async with stack:
        await stack.until(lambda seen: own.entries.keys() <= _ticking(seen), within_s=FIRST_TICK_S)
        await barrier.wait()
        seconds = context.profile.drift_s
        block, spent = await drift_block.counted(stack, turn, seconds, blocks=barrier.parties)
    events, _ = context.keep_events(turn)
    drift_block.keep(turn, context, _frames(own, events, block), spent)


def _ticking(events: Iterable[Event]) -> set[str]:
    return {entry for entry, runs in runs_by_owner(events).items() if runs}


def _frames(own: OwnApp, events: Iterable[Event], block: Block) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ticks and drift of each entry, whose name stands where a policy's does: each has its own interval."""
    made = [
        drift.drift_frames(
            events,
            block,
            policy=entry.name,
            interval_ns=int(own.interval_s(entry) * NS_PER_S),
            owners=[entry.name],
        )
        for entry in own.answer.entries
        if entry.name in own.entries
    ]
    return pd.concat([ticks for ticks, _ in made]), pd.concat([rows for _, rows in made])
