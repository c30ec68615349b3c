"""A fault block: load, one strike at a seeded moment in the middle of it, a drain, then the count.

    start, probe | prepare | load … strike … load | drain | look for what is held | stop

The count is the checker's (`bench.measures.failure`): every accepted job is in exactly one class.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import httpx

from bench import plan as plans
from bench.context import Context, sleep_until
from bench.errors import BenchError
from bench.faults.fault import Expected, Fault
from bench.measures import failure
from bench.measures.recovery import recovery
from bench.stack import PROBE, Stack
from bench.turns import Turn, valid_row
from scenarios import jobs
from scenarios.ledger import Ledger

#: Seconds from a warm generator to its first request.
LEAD_S = 0.2
#: Requests a second of the other scenario, whose jobs show how far a fault reaches.
BYSTANDER_RATE = 1.0
#: The part of the load within which the fault strikes, as fractions of its length.
STRIKE_BETWEEN = (0.35, 0.65)
#: Milliseconds from due to effect after which a job is late.
DEADLINES_MS = {jobs.ACCOUNT_SETUP: 5000.0, jobs.WELCOME_EMAIL: 5000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a fault block saw beside its ledger."""

    start_ns: int
    fault_on_ns: int
    fault_off_ns: int
    drained_ns: int
    lag_max_ms: float
    app_died: bool
    #: The ledger is whole and every place where jobs are held could be looked into.
    complete: bool


async def run(turn: Turn, context: Context) -> str:
    """Run the block and append one row a scenario to `failures.csv`; it counts, so return nothing."""
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
    events, cut_lines = context.keep_events(turn)
    _write(turn, context, fault, replace(seen, complete=seen.complete and not cut_lines), events)
    return ""


async def _strike(turn: Turn, fault: Fault, context: Context, stack: Stack, harness: Ledger) -> Observed:
    plan = plans.make_plan(
        seed=context.draw("load", fault.number, turn.repetition).getrandbits(32),
        prefix=turn.name,
        rates={jobs.ACCOUNT_SETUP: fault.rate, jobs.WELCOME_EMAIL: BYSTANDER_RATE},
        seconds=fault.load_s,
        owners=0,
    )
    await fault.prepare(stack)
    app = stack.parts["app"]
    generator, start_ns = await context.start_generator(stack, plan, lead_s=LEAD_S)
    end_ns = start_ns + int(fault.load_s * 1e9)
    await sleep_until(end_ns if fault.after_load else start_ns + _moment_ns(turn, fault, context))
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
        complete=await _record_held(stack, harness),
    )


def _moment_ns(turn: Turn, fault: Fault, context: Context) -> int:
    """The seeded moment of the strike, in ns from the start of the load: the same for every side."""
    draw = context.draw("strike", fault.number, turn.repetition).uniform(*STRIKE_BETWEEN)
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
    except httpx.HTTPError:
        return math.nan
    return max((float(lag) for _, lag in lags), default=math.nan)


async def _record_held(stack: Stack, harness: Ledger) -> bool:
    """Write a `held` event for every job that still waits somewhere; tell whether one could look."""
    try:
        answer = (await stack.call("GET", "/held")).raise_for_status()
    except httpx.HTTPError:
        return False
    for job, where in answer.json().items():
        scenario = jobs.WELCOME_EMAIL if job.endswith("/email") else jobs.ACCOUNT_SETUP
        harness.record("held", scenario=scenario, job=job, where=where)
    return True


def _write(turn: Turn, context: Context, fault: Fault, seen: Observed, events: list[dict[str, Any]]) -> None:
    planned = [event for event in events if PROBE not in str(event.get("job", ""))]
    expected = fault.expected[turn.side.name]
    rows = [_row(turn, fault, scenario, seen, planned) for scenario in (fault.scenario, jobs.WELCOME_EMAIL)]
    context.directory.append("failures", [rows[0] | _prediction(rows[0], expected, context), *rows[1:]])
    context.directory.append("blocks", [valid_row(turn, seconds=(seen.drained_ns - seen.start_ns) / 1e9)])


def _row(
    turn: Turn, fault: Fault, scenario: str, seen: Observed, events: list[dict[str, Any]]
) -> dict[str, Any]:
    judged = failure.judge(
        events, scenario=scenario, deadline_ms=DEADLINES_MS[scenario], complete=seen.complete
    )
    return {
        "block": turn.name,
        "fault": fault.number,
        "slug": fault.slug,
        "side": turn.side.name,
        "scenario": scenario,
        "strike": turn.repetition,
        "submitted": judged.submitted,
        **{name: len(names) for name, names in judged.acceptance.items()},
        **{name: len(names) for name, names in judged.classes.items()},
        **{name: len(names) for name, names in judged.flags.items()},
        "sum_ok": judged.sum_ok,
        "at_least_once": judged.at_least_once,
        "at_most_once": judged.at_most_once,
        **asdict(recovery(events, scenario)),
        "caller_max_ms": judged.caller_max_ms,
        "lag_max_ms": seen.lag_max_ms,
        "app_died": seen.app_died,
        "note": fault.expected[turn.side.name].note,
    }


def _prediction(row: dict[str, Any], expected: Expected, context: Context) -> dict[str, Any]:
    notes = [expected.note]
    if context.profile.retry_scale != 1.0 and row["side"] == "celery-hardened":
        notes.append(f"retry schedule at {context.profile.retry_scale:g} of its real time")
    return {
        "predicted": expected.text,
        "as_predicted": "yes" if expected.holds(row) else "no",
        "note": "; ".join(filter(None, notes)),
    }
