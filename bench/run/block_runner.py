"""Run the blocks of a plan in their order, and write the results of each at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby

import httpx
import redis

from bench.blocks import drift, fault, latency, registry
from bench.blocks.context import Context
from bench.errors import BenchError
from bench.plan import blocks
from bench.plan.blocks import BlockSpec
from bench.plan.feasibility import possible
from bench.plan.run_plan import RunPlan
from bench.process.other_runs import other_runs
from bench.run import call_costs
from bench.run.part_times import PartTimes
from bench.run.progress import RunProgress
from bench.storage.disk_space import DiskFullError, check_block_space, is_disk_full
from bench.storage.manifest import now
from bench.world.broker import BrokerError

#: Errors of the parts of a block, or of their machine: the block does not count, and the run continues. Any
#: other error is one of the harness, and ends the run.
BLOCK_ERRORS = (BenchError, BrokerError, OSError, httpx.HTTPError, redis.RedisError)


class BlockRunner:
    """Runs the blocks of one run, and says what becomes of each."""

    def __init__(self, context: Context, progress: RunProgress, run_plan: RunPlan) -> None:
        self._context = context
        self._progress = progress
        self._lanes = context.profile.lanes
        self._plan = run_plan
        self._times = PartTimes(context.directory, run_plan.guesses_s(self._lanes), progress.say)
        self._other_runs: set[int] = set()

    async def run(self) -> None:
        """Measure every block that is possible; list the others.

        Raise DiskFullError as soon as the disk has no room for another block.
        """
        plan, refused = possible(self._plan, self._context.deployment)
        for spec, reason in refused:
            self._invalid([spec], reason)
        await self._one_by_one(plan.latency, latency.run, plan.spares)
        await self._one_by_one(plan.further, registry.run, plan.further_spares)
        for together in plan.drift:
            await self._block(together, partial(drift.run_together, together, self._context))
        for alone, specs in groupby(plan.faults, key=lambda spec: spec.alone):
            await self._in_lanes(list(specs), 1 if alone else self._lanes)
        if plan.micro:
            await self._micro()

    async def _micro(self) -> None:
        """Time the call costs; if that fails, the rest of the run still has its report."""
        began = self._begin("micro")
        try:
            await call_costs.run(self._context)
        except (BenchError, OSError) as error:
            if is_disk_full(error):
                raise DiskFullError(self._context.directory.path, []) from error
            self._progress.say(f"invalid micro call costs: {error}")
        else:
            self._progress.say("done    micro call costs")
        self._times.end("micro", began)

    async def _one_by_one(self, specs: Sequence[BlockSpec], run: registry.Run, spares: int) -> None:
        """Measure block by block; repeat one that does not count once, while there are spares."""
        for spec in specs:
            reason = await self._block([spec], partial(run, spec, self._context))
            if reason and spares and blocks.can_retry(spec, reason):
                spares -= 1
                retry = blocks.retry_of(spec)
                await self._block([retry], partial(run, retry, self._context))

    async def _in_lanes(self, specs: Sequence[BlockSpec], lanes: int) -> None:
        """Measure as many blocks side by side as there are lanes."""
        free = asyncio.Semaphore(lanes)

        async def one(spec: BlockSpec) -> None:
            async with free:
                await self._block([spec], partial(fault.run, spec, self._context), share=lanes)

        try:
            async with asyncio.TaskGroup() as group:
                for spec in specs:
                    group.create_task(one(spec))
        except BaseExceptionGroup as errors:
            if full := errors.subgroup(DiskFullError):
                raise _first(full) from errors
            raise

    async def _block(
        self, specs: Sequence[BlockSpec], work: Callable[[], Awaitable[str]], *, share: int = 1
    ) -> str:
        """Run one block, or several side by side; return why it does not count, or an empty text."""
        began = self._begin(specs[0].measure)
        guess_s = max(spec.guess_s for spec in specs) / share
        bar = asyncio.create_task(self._progress.step(specs[0].label, guess_s))
        reason, failed, full = "", False, False
        try:
            reason = await work()
        except* BLOCK_ERRORS as errors:
            reason, failed, full = _first_line(errors), True, errors.subgroup(is_disk_full) is not None
        finally:
            bar.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await bar
        names = [spec.name for spec in specs]
        if full:
            raise DiskFullError(self._context.directory.path, names)
        check_block_space(self._context.directory.path, names)
        if failed:
            self._invalid(specs, reason)
        else:
            for spec in specs:
                self._progress.say(f"invalid {spec.label}: {reason}" if reason else f"done    {spec.label}")
        self._times.end(specs[0].measure, began)
        return reason

    def _begin(self, measure: str) -> str:
        """Before a block: check the disk, look for other runs; return the time."""
        check_block_space(self._context.directory.path, [])
        self._times.begin(measure)
        if new := other_runs() - self._other_runs:
            self._other_runs |= new
            found = ", ".join(map(str, sorted(new)))
            self._progress.say(
                f"warning: another run measures on this machine (process {found}): each disturbs the other"
            )
            self._context.directory.save_manifest(other_runs=len(self._other_runs))
        return now()

    def _invalid(self, specs: Sequence[BlockSpec], reason: str) -> None:
        self._context.directory.append("blocks", [blocks.invalid_row(spec, reason) for spec in specs])
        for spec in specs:
            self._progress.say(f"invalid {spec.label}: {reason}")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _first_line(error: BaseException) -> str:
    error = _first(error)
    return (str(error).splitlines() or [""])[0] or type(error).__name__
