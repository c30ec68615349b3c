"""Run every block in order, and write its results at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import groupby

import httpx
from rich.console import Console

from bench.atomic_write import write_atomically
from bench.blocks import drift, fault, latency, registry
from bench.blocks.context import Context
from bench.errors import BenchError
from bench.measures.load.cpu_shares import own_line
from bench.plan import blocks
from bench.plan.blocks import BlockSpec
from bench.plan.deployment import Deployment
from bench.plan.feasibility import check_some_is_possible, possible
from bench.plan.plan_file import planned
from bench.plan.run_plan import RunPlan, make_run_plan
from bench.plan.run_request import RunRequest
from bench.process.process_table import ProcessTable
from bench.run import call_costs, resume
from bench.run.conclusion import conclude
from bench.run.host_discovery import discover
from bench.run.live_page import LivePage
from bench.run.progress import RunProgress
from bench.schema import LIVE, PLAN
from bench.storage.manifest import manifest
from bench.storage.run_directory import RunDirectory
from bench.world.broker import URL_VARIABLE, BrokerError, check_broker

#: What a block may raise without ending the run: it is listed as invalid and the run goes on.
BLOCK_ERRORS = (BenchError, BrokerError, OSError, TimeoutError, ValueError, KeyError, httpx.HTTPError)


def execute(request: RunRequest, console: Console) -> RunDirectory:
    """Run what the request names; raise BenchError before anything starts if that is impossible.

    Ctrl-C ends the blocks under way, keeps what is written and marks the run as interrupted.
    """
    run_plan = make_run_plan(request)
    env = request.subject.environment(os.environ)
    broker, deployment = _check_broker(request, env), discover(request, env)
    check_some_is_possible(run_plan, deployment)
    directory = RunDirectory.create(request.out, request.profile.name, manifest(request, broker, deployment))
    write_atomically(directory.path / PLAN, planned(request, run_plan))
    console.print(f"writing to {directory.path}; {LIVE} in it shows how far it is", highlight=False)
    with directory.claimed():
        _measure(run_plan, request, deployment, directory, console)
    return directory


def continue_run(
    directory: RunDirectory, request: RunRequest, command: Sequence[str], console: Console
) -> None:
    """Measure the rest of an interrupted run (`bench.run.resume`); `request` is the one that began it.

    Raise BenchError before anything is changed if it cannot be resumed here.
    """
    run_plan = make_run_plan(request)
    with directory.claimed():
        env = request.subject.environment(os.environ)
        broker, deployment = _check_broker(request, env), discover(request, env)
        resume.check_same(directory, request, run_plan, broker, deployment)
        left = resume.prepare(directory, run_plan, command)
        kept = directory.manifest["resumptions"][-1]["kept"]
        console.print(f"resuming {directory.path}: blocks kept: {kept}", highlight=False)
        _measure(left, request, deployment, directory, console)


def _measure(
    run_plan: RunPlan, request: RunRequest, deployment: Deployment, directory: RunDirectory, console: Console
) -> None:
    interrupted = False
    if untold := deployment.manifest().get("not told"):
        console.print(f"parts are elsewhere; not told: {untold}", highlight=False)
    try:
        with ProcessTable() as table:
            context = Context(
                directory=directory,
                table=table,
                profile=request.profile,
                seed=request.seed,
                subject=request.subject,
                deployment=deployment,
            )
            asyncio.run(_run(run_plan, context, console))
    except KeyboardInterrupt:
        interrupted = True
        console.print("interrupted: what was measured so far is kept")
    finally:
        if deployment.world:
            deployment.world.release(directory.manifest["run"])
        shutil.rmtree(directory.path / "work", ignore_errors=True)
        conclude(directory, request.subject, interrupted=interrupted)
        if line := own_line(directory.manifest["noise"]):
            console.print(line, highlight=False)


async def _run(run_plan: RunPlan, context: Context, console: Console) -> None:
    lanes = context.profile.lanes
    run_plan, refused = possible(run_plan, context.deployment)
    page = LivePage(context.directory.path)
    with RunProgress(run_plan.guess_s(lanes), console, page=page) as progress:
        progress.say(run_plan.summary(lanes))
        for spec, reason in refused:
            context.directory.append("blocks", [blocks.invalid_row(spec, reason)])
            progress.say(f"invalid {spec.label}: {reason}")
        await _one_by_one(run_plan.latency, context, progress, latency.run, run_plan.spares)
        await _one_by_one(run_plan.further, context, progress, registry.run, run_plan.further_spares)
        for together in run_plan.drift:
            await _guarded(together, context, progress, partial(drift.run_together, together, context))
        for alone, specs in groupby(run_plan.faults, key=lambda spec: spec.alone):
            await _in_lanes(list(specs), context, progress, 1 if alone else lanes)
        if run_plan.micro:
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
    taken: Sequence[BlockSpec], context: Context, progress: RunProgress, run: registry.Run, spares: int
) -> None:
    """Measure block by block; one that does not count is measured again once, while there are spares."""
    for spec in taken:
        reason = await _guarded([spec], context, progress, partial(run, spec, context))
        if reason and spares and blocks.can_retry(spec, reason):
            spares -= 1
            retry = blocks.retry_of(spec)
            await _guarded([retry], context, progress, partial(run, retry, context))


async def _in_lanes(faults: Sequence[BlockSpec], context: Context, progress: RunProgress, lanes: int) -> None:
    free = asyncio.Semaphore(lanes)

    async def one(spec: BlockSpec) -> None:
        async with free:
            work = partial(fault.run, spec, context)
            await _guarded([spec], context, progress, work, share=lanes)

    async with asyncio.TaskGroup() as group:
        for spec in faults:
            group.create_task(one(spec))


async def _guarded(
    taken: Sequence[BlockSpec],
    context: Context,
    progress: RunProgress,
    work: Callable[[], Awaitable[str]],
    *,
    share: int = 1,
) -> str:
    """Do one step of the run; one that fails is listed, and the run goes on.

    Return why its block does not count, or nothing, as `work` does.
    """
    label, guess_s = taken[0].label, max(spec.guess_s for spec in taken) / share
    bar = asyncio.create_task(progress.step(label, guess_s))
    try:
        reason = await work()
    except BLOCK_ERRORS as error:
        reason = _first_line(error)
        context.directory.append("blocks", [blocks.invalid_row(spec, reason) for spec in taken])
    except BaseExceptionGroup as errors:
        known, others = errors.split(BLOCK_ERRORS)
        if others or not known:
            raise
        reason = _first_line(known)
        context.directory.append("blocks", [blocks.invalid_row(spec, reason) for spec in taken])
    finally:
        bar.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bar
    for spec in taken:
        progress.say(f"invalid {spec.label}: {reason}" if reason else f"done    {spec.label}")
    return reason


def _first_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def _check_broker(request: RunRequest, env: Mapping[str, str]) -> str:
    """Where the broker comes from, as text; raise BenchError where a queue is asked for and there is none."""
    if not any(side.queued for side in request.sides):
        return "none needed"
    if request.subject.broker:
        return request.subject.broker
    asked = request.deployment
    named = "--broker-url" if asked.broker_url else URL_VARIABLE
    try:
        return check_broker(asked.environment(env), named=named)
    except BrokerError as error:
        raise BenchError(str(error)) from error
