"""A fault block: load, one strike at a seeded moment in the middle of it, a drain, then the count.

    start, probe | prepare | load … strike … load | drain | look for what is held | stop

The count is the checker's (`bench.measures.failure`): every accepted job is in exactly one class.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench import plan as plans
from bench.context import GENERATOR_START_S, Context, sleep_until
from bench.errors import BenchError
from bench.faults.fault import Expected, Fault
from bench.measures import failure
from bench.stack import Stack
from bench.turns import Turn
from scenarios import jobs
from scenarios.ledger import Ledger

#: Requests a second of the other scenario, whose jobs show how far a fault reaches.
BYSTANDER_RATE = 1.0
#: The part of the load within which the fault strikes, as fractions of its length.
STRIKE_BETWEEN = (0.35, 0.65)
#: Seconds that looking for held jobs in the broker and the workers may take.
HELD_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a fault block saw beside its ledger."""

    start_ns: int
    fault_on_ns: int
    fault_off_ns: int
    drained_ns: int
    lag_max_ms: float
    app_died: bool


async def run(turn: Turn, context: Context) -> None:
    """Run the block and append one row a scenario to `failures.csv`."""
    fault = turn.fault
    if fault is None:
        raise BenchError(f"{turn.name} is no fault block")
    expected = fault.expected[turn.side.name]
    stack = Stack(
        turn.side,
        folder=context.folder(turn),
        table=context.table,
        context=context.ledger_context(turn),
        env={"SIDEKIQ_RETRY_SCALE": str(context.profile.retry_scale), **expected.env},
        world_latency_ms=fault.latency_ms,
    )
    async with stack:
        harness = Ledger(stack.ledger, context.ledger_context(turn))
        seen = await _strike(turn, fault, context, stack, harness)
        await _record_held(stack, harness)
    events = context.keep_events(turn)
    _write(turn, context, fault, expected, seen, events)


async def _strike(turn: Turn, fault: Fault, context: Context, stack: Stack, harness: Ledger) -> Observed:
    plan = plans.make_plan(
        seed=f"{context.seed}/{fault.number}/{turn.repetition}",
        prefix=turn.name,
        rates={jobs.ACCOUNT_SETUP: fault.rate, jobs.WELCOME_EMAIL: BYSTANDER_RATE},
        seconds=fault.load_s,
        owners=0,
    )
    await fault.prepare(stack)
    app = stack.parts["app"]
    start_ns = time.monotonic_ns() + int(GENERATOR_START_S * 1e9)
    end_ns = start_ns + int(fault.load_s * 1e9)
    generator = context.start_generator(stack, plan, start_ns)
    await sleep_until(end_ns if fault.after_load else start_ns + _moment_ns(turn, fault, context.seed))
    fault_on_ns = time.monotonic_ns()
    harness.record("fault_on", t=fault_on_ns, fault=fault.number)
    await fault.strike(stack)
    fault_off_ns = time.monotonic_ns()
    harness.record("fault_off", t=fault_off_ns, fault=fault.number)
    await context.end_generator(generator)
    await _drain(stack, limit_s=fault.drain_s(turn.side.name), linger_s=fault.linger_s)
    return Observed(
        start_ns=start_ns,
        fault_on_ns=fault_on_ns,
        fault_off_ns=fault_off_ns,
        drained_ns=time.monotonic_ns(),
        lag_max_ms=await _longest_lag(stack),
        app_died=app.exit_code() is not None,
    )


def _moment_ns(turn: Turn, fault: Fault, seed: int) -> int:
    """The seeded moment of the strike, in ns from the start of the load: the same for every side."""
    draw = random.Random(f"{seed}/{fault.number}/{turn.repetition}/strike").uniform(*STRIKE_BETWEEN)  # noqa: S311 - a plan, no secret
    return int(draw * fault.load_s * 1e9)


async def _drain(stack: Stack, *, limit_s: float, linger_s: float) -> None:
    """Wait until every accepted job has an effect or was given up, then linger for duplicates."""
    limit = asyncio.get_running_loop().time() + limit_s
    await stack.until(failure.settled, within_s=limit_s)
    left_s = limit - asyncio.get_running_loop().time()
    await asyncio.sleep(max(0.0, min(linger_s, left_s)))


async def _longest_lag(stack: Stack) -> float:
    try:
        lags = (await stack.call("GET", "/lag")).json()
    except OSError:
        return float("nan")
    return max((float(lag) for _, lag in lags), default=float("nan"))


async def _record_held(stack: Stack, harness: Ledger) -> None:
    """Write a `held` event for every job that still waits somewhere at the drain limit."""
    for job, where in (await _held(stack)).items():
        scenario = jobs.WELCOME_EMAIL if job.endswith("/email") else jobs.ACCOUNT_SETUP
        harness.record("held", scenario=scenario, job=job, where=where)


async def _held(stack: Stack) -> dict[str, str]:
    if not stack.side.queued:
        return dict.fromkeys((await stack.call("GET", "/held")).json(), "memory")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "celery_impl.held"),
        env=stack.env,
        cwd=stack.folder,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(HELD_LIMIT_S):
        output, _ = await process.communicate()
    held: dict[str, str] = json.loads(output)
    return held


def _write(
    turn: Turn,
    context: Context,
    fault: Fault,
    expected: Expected,
    seen: Observed,
    events: list[dict[str, Any]],
) -> None:
    rows = pd.DataFrame()
    raise NotImplementedError
