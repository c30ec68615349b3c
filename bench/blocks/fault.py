"""A fault block: load, one strike at a seeded moment in the middle of it, a drain, then the count.

    start, probe | prepare | load … strike … load | drain | look for what is held | stop

The count is the checker's (`bench.blocks.fault_rows`): every accepted job is in exactly one class. A
control run is the same block without `prepare` and strike; its rows are in `controls.csv`.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import Any

import httpx

from bench.blocks import fault_rows
from bench.blocks.context import Context, sleep_until
from bench.blocks.fault_rows import Observed
from bench.errors import BenchError
from bench.faults.spec import Fault
from bench.measures.events.history import histories
from bench.measures.faults import failure
from bench.measures.load.cpu_shares import own_row
from bench.plan import strikes
from bench.plan.blocks import Turn, invalid_row, valid_row
from bench.process import process_table
from bench.stack import cpu_usage
from bench.stack.stack import PROBE, Stack
from scenarios.ledger import Ledger

#: Seconds from a warm generator to its first request.
LEAD_S = 0.2


async def run(turn: Turn, context: Context) -> str:
    """Run the block and append one row a scenario to `failures.csv`; return why it does not count, or "".

    A fault that this machine cannot make has a row in `blocks.csv` that says why.
    """
    fault = turn.fault
    if fault is None:
        raise BenchError(f"{turn.name} is no fault block")
    if reason := fault.unavailable():
        context.directory.append("blocks", [invalid_row(turn, reason)])
        return reason
    expected = fault.expected[turn.side.name]
    stack = context.make_stack(
        turn,
        env={**_scale(context), **expected.env, **fault.environment(context.folder(turn))},
        world_latency_ms=fault.latency_ms,
        proxied=fault.proxied if turn.side.queued else "",
        odd_jobs=fault.odd_jobs,
        beat=fault.owners > 0,  # without an owner there is nothing to schedule
        rabbitmq=fault.rabbitmq,
    )
    async with stack:
        harness = Ledger(stack.ledger, context.ledger_context(turn))
        seen = await _strike(turn, fault, context, stack, harness)
    events, cut_lines = context.keep_events(turn)
    _write(turn, context, fault, replace(seen, complete=seen.complete and not cut_lines), events)
    return ""


def _scale(context: Context) -> dict[str, str]:
    """Our retries run at a part of their time; those of somebody's own app are not touched."""
    return {} if context.own else {"SIDEKIQ_RETRY_SCALE": str(context.profile.retry_scale)}


async def _strike(turn: Turn, fault: Fault, context: Context, stack: Stack, harness: Ledger) -> Observed:
    moment = strikes.moment(turn, context.seed, context.own)
    await stack.sync(moment.plan.owners)
    if not turn.control:
        await fault.prepare(stack)
    app = stack.parts["app"]
    generator, start_ns = await context.start_generator(stack, moment.plan, lead_s=LEAD_S)
    before = cpu_usage.read(stack, generator, blocks=context.profile.lanes)
    await sleep_until(start_ns + moment.strike_ns)
    fault_on_ns = time.monotonic_ns()
    if not turn.control:
        harness.record("fault_on", t=fault_on_ns, fault=fault.number)
        await stack.mark("fault_on", fault.number)
        await fault.strike(stack)
        await stack.mark("fault_off", fault.number)
        harness.record("fault_off", fault=fault.number)
    fault_off_ns = time.monotonic_ns()
    spent = cpu_usage.between(before, cpu_usage.read(stack, generator, blocks=context.profile.lanes))
    await context.end_generator(generator)
    await _drain(stack, limit_s=fault.drain_s(turn.side.name), linger_s=fault.linger_s)
    return Observed(
        start_ns=start_ns,
        fault_on_ns=fault_on_ns,
        fault_off_ns=fault_off_ns,
        drained_ns=time.monotonic_ns(),
        lag_max_ms=await _longest_lag(stack),
        app_died=app.exit_code() is not None,
        gave_up=process_table.gave_up(stack.parts),
        complete=await _record_held(stack, harness),
        facts=dict(stack.facts),
        owners=tuple(moment.plan.owners),
        spent=spent,
    )


async def _drain(stack: Stack, *, limit_s: float, linger_s: float) -> None:
    """Wait until every accepted job has an effect or was given up, then linger for duplicates."""
    limit = asyncio.get_running_loop().time() + limit_s
    await stack.until(failure.settled, within_s=limit_s)
    left_s = limit - asyncio.get_running_loop().time()
    await asyncio.sleep(max(0.0, min(linger_s, left_s)))


async def _longest_lag(stack: Stack) -> float:
    try:
        lags = (await stack.call("GET", "/lag")).json()
    except httpx.HTTPError:
        return math.nan
    return max((float(lag) for _, lag in lags), default=math.nan)


async def _record_held(stack: Stack, harness: Ledger) -> bool:
    """Write a `held` event for every job that still waits somewhere; tell whether one could look."""
    try:
        answer = (await stack.call("GET", "/held")).raise_for_status()
    except httpx.HTTPError:
        return False
    known = histories(stack.events())
    for job, where in answer.json().items():
        if job in known:
            harness.record("held", scenario=known[job].scenario, job=job, where=where)
    return True


def _write(turn: Turn, context: Context, fault: Fault, seen: Observed, events: list[dict[str, Any]]) -> None:
    planned = [event for event in events if PROBE not in str(event.get("job", ""))]
    rows = fault_rows.counted(turn, context, fault, seen, planned)
    if not turn.control and (exposed := fault_rows.exposed(turn, context, fault, seen, planned)):
        context.directory.append("exposure", exposed)
    context.directory.append("controls" if turn.control else "failures", rows)
    context.directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, seen.spent)])
    context.directory.append("blocks", [valid_row(turn, seconds=(seen.drained_ns - seen.start_ns) / 1e9)])
