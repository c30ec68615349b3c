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
from bench.blocks.block_result import BlockResult
from bench.blocks.context import Context, sleep_until
from bench.blocks.fault_rows import BlockReadings
from bench.errors import BenchError
from bench.faults.spec import Fault
from bench.ledger.job_names import PROBE
from bench.measures.events.history import histories
from bench.measures.faults import failure
from bench.plan import strikes
from bench.plan.blocks import BlockSpec, invalid_row, valid_row
from bench.plan.subject import SideOptions
from bench.process import process_table
from bench.stack import cpu_usage
from bench.stack.stack import Stack
from scenarios.ledger import Ledger

#: Seconds from a warm generator to its first request.
LEAD_S = 0.2


async def run(spec: BlockSpec, context: Context) -> str:
    """Run the block and append one row a scenario to `failures.csv`; return why it does not count, or "".

    A fault that this machine cannot make has a row in `blocks.csv` that says why.
    """
    fault = spec.fault
    if fault is None:
        raise BenchError(f"{spec.name} is no fault block")
    if reason := fault.unavailable():
        context.directory.append("blocks", [invalid_row(spec, reason)])
        return reason
    expected = fault.expected[spec.side.name]
    options = SideOptions(
        env={**expected.env, **fault.environment(context.folder(spec))},
        retry_scale=context.profile.retry_scale,
        world_latency_ms=fault.latency_ms,
        proxied=fault.proxied if spec.side.queued else "",
        fault_jobs=fault.fault_jobs,
        beat=fault.owners > 0,  # without an owner there is nothing to schedule
        rabbitmq=fault.rabbitmq,
    )
    stack = context.make_stack(spec, options)
    async with stack:
        harness = Ledger(stack.ledger, context.ledger_context(spec))
        readings = await _strike(spec, fault, context, stack, harness)
    events, cut_lines = context.keep_events(spec)
    return _write(
        spec, context, fault, replace(readings, complete=readings.complete and not cut_lines), events
    )


async def _strike(
    spec: BlockSpec, fault: Fault, context: Context, stack: Stack, harness: Ledger
) -> BlockReadings:
    strike_plan = strikes.strike_plan(spec, context.seed, context.subject)
    await stack.client.sync(strike_plan.plan.owners)
    if not spec.control:
        await fault.prepare(stack)
    app = stack.processes.parts["app"]
    generator, start_ns = await context.start_generator(stack, strike_plan.plan, lead_s=LEAD_S)
    before = cpu_usage.read(stack, generator, blocks=context.profile.lanes)
    await sleep_until(start_ns + strike_plan.strike_ns)
    fault_on_ns = time.monotonic_ns()
    if not spec.control:
        harness.record("fault_on", t=fault_on_ns, fault=fault.number)
        await stack.mark("fault_on", fault.number)
        await fault.strike(stack)
        await stack.mark("fault_off", fault.number)
        harness.record("fault_off", fault=fault.number)
    fault_off_ns = time.monotonic_ns()
    spent = cpu_usage.between(before, cpu_usage.read(stack, generator, blocks=context.profile.lanes))
    await context.end_generator(generator)
    await _drain(stack, limit_s=fault.drain_s(spec.side.name), linger_s=fault.linger_s)
    return BlockReadings(
        start_ns=start_ns,
        fault_on_ns=fault_on_ns,
        fault_off_ns=fault_off_ns,
        drained_ns=time.monotonic_ns(),
        lag_max_ms=await _longest_lag(stack),
        app_died=app.exit_code() is not None,
        gave_up=process_table.failed_exit_codes(stack.processes.parts),
        complete=await _record_held(stack, harness),
        facts=dict(stack.facts),
        owners=tuple(strike_plan.plan.owners),
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
        lags = (await stack.client.call("GET", "/lag")).json()
    except httpx.HTTPError:
        return math.nan
    return max((float(lag) for _, lag in lags), default=math.nan)


async def _record_held(stack: Stack, harness: Ledger) -> bool:
    """Write a `held` event for every job that still waits somewhere; tell whether one could look."""
    try:
        answer = (await stack.client.call("GET", "/held")).raise_for_status()
    except httpx.HTTPError:
        return False
    known = histories(stack.events())
    for job, where in answer.json().items():
        if job in known:
            harness.record("held", scenario=known[job].scenario, job=job, where=where)
    return True


def _write(
    spec: BlockSpec, context: Context, fault: Fault, readings: BlockReadings, events: list[dict[str, Any]]
) -> str:
    planned = [event for event in events if PROBE not in str(event.get("job", ""))]
    rows = fault_rows.failure_rows(spec, context, fault, readings, planned)
    exposed = [] if spec.control else fault_rows.exposure_rows(spec, context, fault, readings, planned)
    result = BlockResult(
        spec=spec,
        spent=readings.spent,
        tables={"exposure": exposed, "controls" if spec.control else "failures": rows},
        row=valid_row(
            spec,
            seconds=(readings.drained_ns - readings.start_ns) / 1e9,
            start_ns=readings.start_ns,
            end_ns=readings.drained_ns,
        ),
    )
    return result.append_to(context.directory)
