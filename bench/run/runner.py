"""A run, from the checks before it to its end; `run.json` says what ended it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rich.console import Console

from bench.atomic_write import write_atomically
from bench.blocks.context import Context
from bench.errors import BenchError
from bench.measures.load.cpu_shares import own_line
from bench.plan.deployment import Deployment
from bench.plan.feasibility import check_some_is_possible
from bench.plan.plan_file import planned
from bench.plan.run_plan import RunPlan, make_run_plan
from bench.plan.run_request import RunRequest
from bench.process import other_runs
from bench.process.process_table import ProcessTable
from bench.run import resume
from bench.run.block_runner import BlockRunner
from bench.run.conclusion import conclude
from bench.run.database_check import check_database
from bench.run.host_discovery import discover
from bench.run.live_page import LivePage
from bench.run.progress import RunProgress
from bench.schema import LIVE, PLAN
from bench.storage.disk_space import DiskFullError, hold_reserve, is_disk_full
from bench.storage.manifest import manifest
from bench.storage.run_directory import RunDirectory
from bench.world.broker import URL_VARIABLE, BrokerError, check_broker

#: What `stopped_by` of `run.json` says of a run that is not complete.
INTERRUPT, FULL_DISK, ERROR = "interrupt", "full disk", "error"


def execute(request: RunRequest, console: Console) -> RunDirectory:
    """Run what the request names; raise BenchError before anything starts if that is impossible.

    Ctrl-C and a full disk end the blocks under way and keep what was measured; `run.json` says so. An error
    of the harness does too, and is raised.
    """
    run_plan = make_run_plan(request)
    broker, deployment = _check_parts(request)
    check_some_is_possible(run_plan, deployment)
    directory = RunDirectory.create(request.out, request.profile.name, manifest(request, broker, deployment))
    write_atomically(directory.path / PLAN, planned(request, run_plan))
    progress = f"{LIVE} in it shows how far it is"
    console.print(f"writing to {directory.path}; {progress}", highlight=False, soft_wrap=True)
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
        broker, deployment = _check_parts(request)
        resume.check_same(directory, request, run_plan, broker, deployment)
        left = resume.prepare(directory, run_plan, command)
        kept = directory.manifest["resumptions"][-1]["kept"]
        console.print(f"resuming {directory.path}: blocks kept: {kept}", highlight=False, soft_wrap=True)
        _measure(left, request, deployment, directory, console)


def _check_parts(request: RunRequest) -> tuple[str, Deployment]:
    """Try database, broker and the parts on other hosts; raise BenchError for one that cannot work."""
    env = request.subject.environment(os.environ)
    check_database(env)
    return _check_broker(request, env), discover(request, env)


def _measure(
    run_plan: RunPlan, request: RunRequest, deployment: Deployment, directory: RunDirectory, console: Console
) -> None:
    if untold := deployment.manifest().get("not told"):
        console.print(f"parts are elsewhere; not told: {untold}", highlight=False)
    stopped_by, partial_blocks = ERROR, list[str]()
    try:
        hold_reserve(directory.path / "work")
        with ProcessTable(purpose=other_runs.RUN) as table:
            context = Context(
                directory=directory,
                table=table,
                profile=request.profile,
                seed=request.seed,
                subject=request.subject,
                deployment=deployment,
            )
            asyncio.run(_run(run_plan, context, console))
        stopped_by = ""
    except KeyboardInterrupt:
        stopped_by = INTERRUPT
        console.print("interrupted: what was measured so far is kept")
    except DiskFullError as error:
        stopped_by, partial_blocks = FULL_DISK, error.blocks
        console.print(f"{error}: what was measured so far is kept", highlight=False, soft_wrap=True)
    except Exception:
        path = directory.path
        console.print(
            f"ended by an error; what was measured so far is kept: queue-or-task run --resume {path}",
            highlight=False,
            soft_wrap=True,
        )
        raise
    finally:
        if deployment.world:
            deployment.world.release(directory.manifest["run"])
        shutil.rmtree(directory.path / "work", ignore_errors=True)
        _conclude(directory, request, console, stopped_by=stopped_by, partial_blocks=partial_blocks)


async def _run(run_plan: RunPlan, context: Context, console: Console) -> None:
    lanes = context.profile.lanes
    page = LivePage(context.directory.path)
    with RunProgress(run_plan.guess_s(lanes), console, page=page) as progress:
        ends = datetime.now().astimezone() + timedelta(seconds=run_plan.guess_s(lanes))
        progress.say(f"{run_plan.summary(lanes)}; until about {ends:%H:%M}")
        await BlockRunner(context, progress, run_plan).run()


def _conclude(
    directory: RunDirectory,
    request: RunRequest,
    console: Console,
    *,
    stopped_by: str,
    partial_blocks: Sequence[str],
) -> None:
    """Close the run; on a full disk, as far as there is room."""
    try:
        if stopped_by == FULL_DISK:
            resume.remove_blocks(directory, partial_blocks)
        conclude(directory, request.subject, stopped_by=stopped_by)
    except OSError as error:
        if not is_disk_full(error):
            raise
        console.print("the disk has no room for the comparisons: free some, then resume the run")
        return
    if line := own_line(directory.manifest["noise"]):
        console.print(line, highlight=False, soft_wrap=True)


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
