"""A run: every turn in its order, results written after each, and whatever happens a report at the end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench import drift_block, fault_block, latency_block, machine, micro_run, turns
from bench.context import Context
from bench.errors import BenchError
from bench.faults.fault import Fault
from bench.measures import comparison
from bench.processes import ProcessTable
from bench.profiles import Profile
from bench.progress import RunProgress
from bench.rundir import RunDirectory
from bench.schema import Manifest
from bench.sides import Side
from bench.turns import Turn
from bench.world.broker import Broker, BrokerError

#: What a block may raise without ending the run: it is listed as invalid and the run goes on.
BLOCK_ERRORS = (BenchError, BrokerError, OSError, TimeoutError, ValueError, KeyError)


def execute(order: Order, console: Console) -> RunDirectory:
    """Run everything that was asked for; raise BenchError before anything starts where it cannot.

    Ctrl-C ends the blocks under way, keeps what is written and marks the run as interrupted.
    """
    _check_broker(order)
    directory = RunDirectory.create(order.out, order.profile.name, _manifest(order))
    console.print(f"writing to {directory.path}", highlight=False)
    interrupted = False
    try:
        with ProcessTable() as table:
            context = Context(directory=directory, table=table, profile=order.profile, seed=order.seed)
            asyncio.run(_run(order, context, console))
    except KeyboardInterrupt:
        interrupted = True
        console.print("interrupted: what was measured so far is kept")
    finally:
        shutil.rmtree(directory.path / "work", ignore_errors=True)
    _conclude(order, directory, interrupted=interrupted)
    return directory


async def _run(order: Order, context: Context, console: Console) -> None:
    latency = turns.latency_turns(order.sides, order.profile) if "latency" in order.measures else []
    drift = turns.drift_turns(order.sides, order.profile) if "drift" in order.measures else []
    faults = turns.fault_turns(order.sides, order.faults, order.profile) if "fault" in order.measures else []
    lanes = order.profile.lanes
    total = sum(turn.guess_s for turn in latency) + sum(max(t.guess_s for t in ts) for ts in drift if ts)
    total += sum(turn.guess_s for turn in faults) / lanes
    with RunProgress(total, console) as progress:
        for turn in latency:
            await _guarded([turn], context, progress, lambda turn=turn: latency_block.run(turn, context))
        for together in drift:
            await _guarded(
                together, context, progress, lambda ts=together: drift_block.run_together(ts, context)
            )
        await _in_lanes(faults, context, progress, lanes)
        if "micro" in order.measures:
            progress.say("micro   call costs")
            await micro_run.run(context)


async def _in_lanes(faults: Sequence[Turn], context: Context, progress: RunProgress, lanes: int) -> None:
    free = asyncio.Semaphore(lanes)

    async def one(turn: Turn) -> None:
        async with free:
            await _guarded([turn], context, progress, lambda: fault_block.run(turn, context), share=lanes)

    async with asyncio.TaskGroup() as group:
        for turn in faults:
            group.create_task(one(turn))


async def _guarded(
    taken: Sequence[Turn],
    context: Context,
    progress: RunProgress,
    work: Callable[[], Awaitable[None]],
    *,
    share: int = 1,
) -> None:
    """Do one step of the run; a block that fails is listed as invalid, and the run goes on."""
    label, guess_s = taken[0].label, max(turn.guess_s for turn in taken) / share
    bar = asyncio.create_task(progress.step(label, guess_s))
    try:
        await work()
    except* BLOCK_ERRORS as errors:
        reason = _first_line(errors)
        for turn in taken:
            progress.say(f"invalid {turn.label}: {reason}")
            context.directory.append("blocks", [turns.invalid_row(turn, reason)])
    else:
        for turn in taken:
            progress.say(f"done    {turn.label}")
    finally:
        bar.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bar


def _first_line(errors: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return (str(error).splitlines() or [""])[0] or type(error).__name__


