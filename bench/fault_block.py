"""A fault block: load, one strike at a seeded moment in the middle of it, a drain, then the count.

    start, probe | prepare | load … strike … load | drain | look for what is held | stop

The count is the checker's (`bench.measures.failure`): every accepted job is in exactly one class. A
control run is the same block without `prepare` and strike; its rows are in `controls.csv`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import httpx

from bench import moments, usage
from bench.context import Context, sleep_until
from bench.errors import BenchError
from bench.faults.fault import DEADLINE_MS, Expected, Fault, Seen
from bench.measures import failure
from bench.measures.clocks import Clocks
from bench.measures.exposure import exposure
from bench.measures.history import histories
from bench.measures.recovery import recovery
from bench.measures.spent import Spent, own_row
from bench.measures.witness import example
from bench.stack import PROBE, Stack
from bench.turns import Turn, invalid_row, valid_row
from scenarios import jobs
from scenarios.ledger import Ledger

#: Seconds from a warm generator to its first request.
LEAD_S = 0.2
#: A fact of a checker hook is told in so many digits.
DIGITS = 4


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
    #: What the strike itself noted.
    facts: Mapping[str, Any]
    owners: tuple[str, ...]
    #: From the first request until the fault was over.
    spent: Spent


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
    moment = moments.moment(turn, context.seed, context.own)
    await stack.sync(moment.plan.owners)
    if not turn.control:
        await fault.prepare(stack)
    app = stack.parts["app"]
    generator, start_ns = await context.start_generator(stack, moment.plan, lead_s=LEAD_S)
    before = usage.read(stack, generator, blocks=context.profile.lanes)
    await sleep_until(start_ns + moment.strike_ns)
    fault_on_ns = time.monotonic_ns()
    if not turn.control:
        harness.record("fault_on", t=fault_on_ns, fault=fault.number)
        await stack.mark("fault_on", fault.number)
        await fault.strike(stack)
        await stack.mark("fault_off", fault.number)
        harness.record("fault_off", fault=fault.number)
    fault_off_ns = time.monotonic_ns()
    spent = usage.between(before, usage.read(stack, generator, blocks=context.profile.lanes))
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
    deadlines_ms = _deadlines_ms(fault, context)
    rows = [_row(turn, fault, name, seen, planned, limit_ms) for name, limit_ms in deadlines_ms.items()]
    facts = _facts(fault, seen, planned)
    rows[0] |= {"seen": _seen(facts)}
    for row, (scenario, limit_ms) in zip(rows, deadlines_ms.items(), strict=True):
        row["example"] = example(planned, scenario, deadline_ms=limit_ms)
    if not turn.control and context.own is None:
        rows[0] |= _prediction(turn, rows[0], facts, context)
    if not turn.control and Clocks(planned).shared("accepted", "effect", "fault_on"):
        exposures = [_exposure(turn, fault, scenario, seen, planned) for scenario in deadlines_ms]
        context.directory.append("exposure", exposures)
    context.directory.append("controls" if turn.control else "failures", rows)
    context.directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, seen.spent)])
    context.directory.append("blocks", [valid_row(turn, seconds=(seen.drained_ns - seen.start_ns) / 1e9)])


def _deadlines_ms(fault: Fault, context: Context) -> dict[str, float]:
    """The scenarios that have a row, each with the milliseconds after which its jobs are late."""
    if context.own is not None:
        return {task: context.own.deadline_ms(task) for task in context.scenarios}
    return dict.fromkeys((fault.scenario, jobs.WELCOME_EMAIL), DEADLINE_MS)


def _facts(fault: Fault, seen: Observed, events: list[dict[str, Any]]) -> Mapping[str, Any]:
    return fault.look(
        Seen(
            events=events,
            facts=seen.facts,
            start_ns=seen.start_ns,
            on_ns=seen.fault_on_ns,
            off_ns=seen.fault_off_ns,
            drained_ns=seen.drained_ns,
            owners=seen.owners,
        )
    )


def _seen(facts: Mapping[str, Any]) -> str:
    """The checker's facts for a person; what could not be told is left out."""
    untold = {name for name, value in facts.items() if isinstance(value, float) and math.isnan(value)}
    known = {name: facts[name] for name in facts if name not in untold and not name.endswith("_ns")}
    return "; ".join(f"{name.replace('_', ' ')} {_told(value)}" for name, value in known.items())


def _told(value: Any) -> str:
    return f"{float(f'{value:.{DIGITS}g}'):g}" if isinstance(value, float) else str(value)


def _row(  # noqa: PLR0917 - what a row is made of, in the order of its making
    turn: Turn, fault: Fault, scenario: str, seen: Observed, events: list[dict[str, Any]], deadline_ms: float
) -> dict[str, Any]:
    asked = [] if scenario == jobs.ACCOUNT_SYNC else events  # nobody hands a tick over: `look` judges it
    judged = failure.judge(asked, scenario=scenario, deadline_ms=deadline_ms, complete=seen.complete)
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
        **({} if judged.timed else {"late": math.nan}),
        "sum_ok": judged.sum_ok,
        "at_least_once": judged.at_least_once,
        "at_most_once": judged.at_most_once,
        **asdict(recovery(events, scenario)),
        "caller_max_ms": judged.caller_max_ms,
        "user_errors": len(judged.user_errors),
        "lag_max_ms": seen.lag_max_ms,
        "app_died": seen.app_died,
        "note": fault.expected[turn.side.name].note,
    }


def _exposure(
    turn: Turn, fault: Fault, scenario: str, seen: Observed, events: list[dict[str, Any]]
) -> dict[str, Any]:
    found = exposure(
        events,
        scenario=scenario,
        from_ns=seen.start_ns if fault.whole else seen.fault_on_ns,
        until_ns=seen.drained_ns if fault.whole or fault.lasting else seen.fault_off_ns,
    )
    return {
        "block": turn.name,
        "fault": fault.number,
        "side": turn.side.name,
        "strike": turn.repetition,
        "scenario": scenario,
        "exposed": len(found.exposed),
        "lost": len(found.lost),
    }


def _prediction(
    turn: Turn, row: Mapping[str, Any], facts: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    expected = _expected(turn)
    notes = [expected.note]
    if context.profile.retry_scale != 1.0 and turn.side.name == "celery-hardened":
        notes.append(f"retry schedule at {context.profile.retry_scale:g} of its real time")
    return {
        "predicted": expected.text,
        "as_predicted": _as_predicted(expected, {**facts, **row}),
        "note": "; ".join(filter(None, notes)),
    }


def _as_predicted(expected: Expected, row: Mapping[str, Any]) -> str:
    """Whether the prediction came true; empty where that hangs on how many were late, and it is not known."""
    lates = (0, row["accepted"]) if math.isnan(row["late"]) else (row["late"],)
    told = {expected.holds({**row, "late": late}) for late in lates}
    return "" if len(told) > 1 else "yes" if told.pop() else "no"


def _expected(turn: Turn) -> Expected:
    assert turn.fault is not None  # noqa: S101 - `run` has looked
    return turn.fault.expected[turn.side.name]
