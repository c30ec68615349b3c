"""A fault block: load, one strike at a seeded moment in the middle of it, a drain, then the count.

    start, probe | prepare | load … strike … load | drain | look for what is held | stop

The count is the checker's (`bench.blocks.fault_rows`): every accepted job is in exactly one class. A
control run is the same block without `prepare` and strike; its rows are in `controls.csv`. Times (recovery,
lateness, lags) are left out where the machine was too noisy for a latency block to count.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import httpx

from bench.blocks import fault_rows, hiccups
from bench.blocks.block_result import BlockResult
from bench.blocks.context import Context, sleep_until
from bench.blocks.fault_rows import BlockReadings
from bench.errors import BenchError
from bench.faults.spec import Fault
from bench.ledger.job_names import PROBE
from bench.measures.events.history import histories
from bench.measures.events.outstanding import OutstandingJobs
from bench.measures.faults import failure
from bench.plan import strikes
from bench.plan.blocks import BlockSpec, invalid_row, valid_row
from bench.plan.strikes import StrikePlan
from bench.plan.subject import SideOptions
from bench.process import process_table
from bench.stack import cpu_usage
from bench.stack.stack import Stack
from scenarios.ledger import Ledger

#: Seconds from a warm generator to its first request.
LEAD_S = 0.2
#: Times that a kill is made, at most, until a job was exposed to one.
MAX_STRIKES = 3
#: Jobs that are under way at a time, on average, from which on another kill may find one.
WORTH_A_KILL = 0.1
#: Seconds that a strike takes at most: for so long the hiccup meter runs beside it.
STRIKE_LIMIT_S = 60.0


async def run(spec: BlockSpec, context: Context) -> str:
    """Run the block and append one row a scenario to `failures.csv`; return why it does not count, or "".

    A kill at which no job was exposed tells nothing: it is made again, at another seeded moment, and
    `MAX_STRIKES` times at the most; not where jobs end so soon that there is hardly ever one. A fault that
    this machine cannot make has a row in `blocks.csv` that says why.
    """
    fault = spec.fault
    if fault is None:
        raise BenchError(f"{spec.name} is no fault block")
    if reason := fault.unavailable():
        context.directory.append("blocks", [invalid_row(spec, reason)])
        return reason
    for retry in range(MAX_STRIKES):
        readings, events = await _strike_once(spec, fault, context, retry)
        if spec.control or not fault_rows.is_empty(fault, context, readings, events):
            break
        if mean_under_way(events, readings.start_ns, readings.fault_on_ns) < WORTH_A_KILL:
            break
    return _write(spec, context, fault, readings, events)


def mean_under_way(events: Iterable[Mapping[str, Any]], start_ns: int, end_ns: int) -> float:
    """Return how many jobs were accepted and not done, on average over this time; 0.0 for none of it."""
    open_ns = 0
    for job in histories(events).values():
        accepted, done = job.first("accepted"), job.first("effect")
        if accepted is not None and accepted < end_ns:
            open_ns += max(0, min(end_ns if done is None else done, end_ns) - max(accepted, start_ns))
    return open_ns / (end_ns - start_ns) if end_ns > start_ns else 0.0


async def _strike_once(
    spec: BlockSpec, fault: Fault, context: Context, retry: int
) -> tuple[BlockReadings, list[dict[str, Any]]]:
    """Start the side and strike it; return the observations and the events without the probe's."""
    expected = fault.expected[spec.side.name]
    options = SideOptions(
        env={**expected.env, **fault.environment(context.folder(spec))},
        retry_scale=context.profile.retry_scale,
        world_latency_ms=fault.latency_ms,
        proxied=fault.proxied if spec.side.queued else "",
        results_in_broker=fault.results_in_broker,
        fault_jobs=fault.fault_jobs,
        beat=fault.owners > 0,  # without an owner there is nothing to schedule
        rabbitmq=fault.rabbitmq,
        broker_env=fault.broker_environment(context.folder(spec)),
    )
    stack = context.make_stack(spec, options)
    stack.fault = fault.number
    plan = strikes.strike_plan(spec, context.seed, context.subject, retry=retry)
    async with stack:
        harness = Ledger(stack.ledger, context.ledger_context(spec))
        readings = await _strike(spec, fault, context, stack, plan, harness)
    events, cut_lines = context.keep_events(spec)
    readings = replace(readings, strikes=retry + 1, complete=readings.complete and not cut_lines)
    return readings, [event for event in events if PROBE not in str(event.get("job", ""))]


async def _strike(  # noqa: PLR0917 - what a strike is made with, in the order of its making
    spec: BlockSpec, fault: Fault, context: Context, stack: Stack, plan: StrikePlan, harness: Ledger
) -> BlockReadings:
    blocks = 1 if spec.alone else context.profile.lanes
    await stack.client.sync(plan.plan.owners)
    if not spec.control:
        await fault.prepare(stack)
    app = stack.processes.parts["app"]
    generator, start_ns = await context.start_generator(stack, plan.plan, lead_s=LEAD_S)
    limit_s = fault.drain_s(spec.side.name)
    meter = hiccups.start_meter(
        context, stack, start_ns=start_ns, seconds=fault.load_s + STRIKE_LIMIT_S + limit_s
    )
    before = cpu_usage.read(stack, generator, concurrently=[meter], blocks=blocks)
    await sleep_until(start_ns + plan.strike_ns)
    on_ns, off_ns = await _make(spec, fault, stack, harness)
    spent = cpu_usage.between(before, cpu_usage.read(stack, generator, concurrently=[meter], blocks=blocks))
    await context.end_generator(generator)
    await _drain(stack, limit_s=limit_s, linger_s=fault.linger_s)
    drained_ns = time.monotonic_ns()
    steal_percent = cpu_usage.between(before, cpu_usage.read(stack, generator)).steal_percent
    return BlockReadings(
        start_ns=start_ns,
        fault_on_ns=on_ns,
        fault_off_ns=off_ns,
        drained_ns=drained_ns,
        killed=stack.kill_ns is not None,
        lag_max_ms=await _longest_lag(stack),
        app_died=app.exit_code() is not None,
        gave_up=process_table.failed_exit_codes(stack.processes.parts),
        complete=await _record_held(stack, harness),
        facts=dict(stack.facts),
        owners=tuple(plan.plan.owners),
        spent=spent,
        hiccups=await hiccups.end_meter(context, stack, meter),
        steal_percent=steal_percent,
    )


async def _make(spec: BlockSpec, fault: Fault, stack: Stack, harness: Ledger) -> tuple[int, int]:
    """Make the fault, unless this is the control run; return when it began and ended (monotonic ns).

    A kill begins when it is made, and not when it is decided on.
    """
    on_ns = time.monotonic_ns()
    if spec.control:
        return on_ns, on_ns
    if not fault.kills:
        harness.record("fault_on", t=on_ns, fault=fault.number)
        await stack.mark("fault_on")
    await fault.strike(stack)
    if fault.kills and stack.kill_ns is not None:
        on_ns = stack.kill_ns
        harness.record("fault_on", t=on_ns, fault=fault.number)
    off_ns = time.monotonic_ns()
    harness.record("fault_off", t=off_ns, fault=fault.number)
    await stack.mark("fault_off")
    return on_ns, off_ns


async def _drain(stack: Stack, *, limit_s: float, linger_s: float) -> None:
    """Wait until every accepted job has an effect or was given up, then linger for duplicates."""
    limit = asyncio.get_running_loop().time() + limit_s
    jobs = OutstandingJobs(
        counts=lambda job: failure.acceptance(job) == "accepted", has_ended=failure.has_ended
    )
    await stack.until(jobs.none_left, within_s=limit_s)
    left_s = limit - asyncio.get_running_loop().time()
    await asyncio.sleep(max(0.0, min(linger_s, left_s)))


async def _longest_lag(stack: Stack) -> float:
    try:
        lags = (await stack.client.call("GET", "/lag")).json()
    except httpx.HTTPError:
        return math.nan
    return max((float(lag) for _, lag in lags), default=math.nan)


async def _record_held(stack: Stack, harness: Ledger) -> bool:
    """Record a `held` event for every job that still waits; return whether all places could be read."""
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
    rows = fault_rows.failure_rows(spec, context, fault, readings, events)
    exposed = [] if spec.control else fault_rows.exposure_rows(spec, context, fault, readings, events)
    result = BlockResult(
        spec=spec,
        spent=readings.spent,
        tables={"exposure": exposed, "controls" if spec.control else "failures": rows},
        row=valid_row(
            spec,
            seconds=(readings.drained_ns - readings.start_ns) / 1e9,
            start_ns=readings.start_ns,
            end_ns=readings.drained_ns,
            steal_percent=readings.steal_percent,
            **readings.hiccups.columns(),
        )
        | {"untimed": readings.untimed},
    )
    return result.append_to(context.directory)
