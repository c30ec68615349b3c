"""A run: every turn in its order, results written after each, and whatever happens a report at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import httpx
from rich.console import Console

from bench.atomic_write import write_atomically
from bench.blocks import drift, fault, latency, registry
from bench.blocks.context import Context
from bench.errors import BenchError
from bench.measures.load.cpu_shares import own_line
from bench.own_app import own_drift
from bench.plan import blocks
from bench.plan.blocks import Turn
from bench.plan.deployment import Found
from bench.plan.feasibility import check_some_is_possible, possible
from bench.plan.plan_file import planned
from bench.plan.run_plan import Agenda, make_agenda
from bench.plan.run_request import Order
from bench.process.process_table import ProcessTable
from bench.run import call_costs, resume
from bench.run.conclusion import conclude
from bench.run.host_discovery import found
from bench.run.progress import RunProgress
from bench.schema import PLAN
from bench.storage.manifest import manifest
from bench.storage.run_directory import RunDirectory
from bench.world.broker import URL_VARIABLE, BrokerError, check_broker

#: What a block may raise without ending the run: it is listed as invalid and the run goes on.
BLOCK_ERRORS = (BenchError, BrokerError, OSError, TimeoutError, ValueError, KeyError, httpx.HTTPError)


def execute(order: Order, console: Console) -> RunDirectory:
    """Run everything that was asked for; raise BenchError before anything starts where it cannot.

    Ctrl-C ends the blocks under way, keeps what is written and marks the run as interrupted.
    """
    agenda = make_agenda(order)
    broker = _check_broker(order)
    here = found(order, os.environ)
    check_some_is_possible(agenda, here)
    directory = RunDirectory.create(order.out, order.profile.name, manifest(order, broker, here))
    write_atomically(directory.path / PLAN, planned(order, agenda))
    console.print(f"writing to {directory.path}", highlight=False)
    with directory.claimed():
        _measure(agenda, order, here, directory, console)
    return directory


def go_on(directory: RunDirectory, order: Order, command: Sequence[str], console: Console) -> None:
    """Do what is left of a run that was interrupted (`bench.run.resume`), `order` being what it was asked.

    Raise BenchError before anything is changed where it cannot be gone on with here.
    """
    agenda = make_agenda(order)
    with directory.claimed():
        broker, here = _check_broker(order), found(order, os.environ)
        resume.check_same(directory, order, agenda, broker, here)
        left = resume.prepare(directory, agenda, command)
        kept = directory.manifest["resumptions"][-1]["kept"]
        console.print(f"going on in {directory.path}: blocks kept: {kept}", highlight=False)
        _measure(left, order, here, directory, console)


def _measure(agenda: Agenda, order: Order, here: Found, directory: RunDirectory, console: Console) -> None:
    interrupted = False
    if untold := here.manifest().get("not told"):
        console.print(f"parts are elsewhere; not told: {untold}", highlight=False)
    try:
        with ProcessTable() as table:
            context = Context(
                directory=directory,
                table=table,
                profile=order.profile,
                seed=order.seed,
                scenarios=order.scenarios,
                own=order.own,
                elsewhere=here,
            )
            asyncio.run(_run(agenda, context, console))
    except KeyboardInterrupt:
        interrupted = True
        console.print("interrupted: what was measured so far is kept")
    finally:
        if here.world:
            here.world.leave(directory.manifest["run"])
        shutil.rmtree(directory.path / "work", ignore_errors=True)
        conclude(directory, interrupted=interrupted)
        if line := own_line(directory.manifest["noise"]):
            console.print(line, highlight=False)


async def _run(agenda: Agenda, context: Context, console: Console) -> None:
    lanes = context.profile.lanes
    agenda, refused = possible(agenda, context.elsewhere)
    with RunProgress(agenda.guess_s(lanes), console) as progress:
        progress.say(agenda.told(lanes))
        for turn, reason in refused:
            context.directory.append("blocks", [blocks.invalid_row(turn, reason)])
            progress.say(f"invalid {turn.label}: {reason}")
        await _one_by_one(agenda.latency, context, progress, latency.run, agenda.spares)
        await _one_by_one(agenda.further, context, progress, registry.run, agenda.further_spares)
        for together in agenda.drift:
            run_together = own_drift.run_together if context.own else drift.run_together
            work = partial(run_together, together, context)
            await _guarded(together, context, progress, work)
        await _in_lanes(agenda.faults, context, progress, lanes)
        if agenda.micro:
            await _micro(context, progress)


async def _micro(context: Context, progress: RunProgress) -> None:
    """Time the call costs; without them the rest of the run still has its report."""
    try:
        await call_costs.run(context)
    except BenchError as error:
        progress.say(f"invalid micro call costs: {error}")
    else:
        progress.say("done    micro call costs")


async def _one_by_one(
    taken: Sequence[Turn], context: Context, progress: RunProgress, run: registry.Run, spares: int
) -> None:
    """Measure turn by turn; a block that does not count is measured again once, while there are spares."""
    for turn in taken:
        reason = await _guarded([turn], context, progress, partial(run, turn, context))
        if reason and spares and blocks.may_count(turn, reason):
            spares -= 1
            retry = blocks.again(turn)
            await _guarded([retry], context, progress, partial(run, retry, context))


async def _in_lanes(faults: Sequence[Turn], context: Context, progress: RunProgress, lanes: int) -> None:
    free = asyncio.Semaphore(lanes)

    async def one(turn: Turn) -> None:
        async with free:
            work = partial(fault.run, turn, context)
            await _guarded([turn], context, progress, work, share=lanes)

    async with asyncio.TaskGroup() as group:
        for turn in faults:
            group.create_task(one(turn))


async def _guarded(
    taken: Sequence[Turn],
    context: Context,
    progress: RunProgress,
    work: Callable[[], Awaitable[str]],
    *,
    share: int = 1,
) -> str:
    """Do one step of the run; one that fails is listed, and the run goes on.

    Return why its block does not count, or nothing, as `work` does.
    """
    label, guess_s = taken[0].label, max(turn.guess_s for turn in taken) / share
    bar = asyncio.create_task(progress.step(label, guess_s))
    try:
        reason = await work()
    except BLOCK_ERRORS as error:
        reason = _first_line(error)
        context.directory.append("blocks", [blocks.invalid_row(turn, reason) for turn in taken])
    except BaseExceptionGroup as errors:
        known, others = errors.split(BLOCK_ERRORS)
        if others or not known:
            raise
        reason = _first_line(known)
        context.directory.append("blocks", [blocks.invalid_row(turn, reason) for turn in taken])
    finally:
        bar.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bar
    for turn in taken:
        progress.say(f"invalid {turn.label}: {reason}" if reason else f"done    {turn.label}")
    return reason


def _first_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def _check_broker(order: Order) -> str:
    """Where the broker comes from, as text; raise BenchError where a queue is asked for and there is none."""
    if not any(side.queued for side in order.sides):
        return "none needed"
    if order.own is not None and order.own.use_app_broker:
        return f"the app's own, {order.own.answer.broker}"
    asked = order.elsewhere
    named = "--broker-url" if asked.broker_url else URL_VARIABLE
    try:
        ours_alone = {"PATH": os.environ.get("PATH", "")}
        env = asked.environment(os.environ) if order.own is None else ours_alone
        return check_broker(env, named=named)
    except BrokerError as error:
        raise BenchError(str(error)) from error
