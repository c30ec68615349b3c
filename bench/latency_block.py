"""A latency block: one side under the common load, from an idle control to the last effect.

    start, probe | idle control | warm-up | measured window | drain | stop

The load is the same seeded plan for every side of a round. A job that is not finished when the
drain ends counts as infinitely late; it is never dropped.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pandas as pd
import psutil

from bench import plan as plans
from bench.context import Context, sleep_until
from bench.measures import cost, latency, validity
from bench.measures.block import NS_PER_S, Block
from bench.processes import Process
from bench.sampling import Sample, sample
from bench.sides import config_lines
from bench.stack import Stack
from bench.turns import Turn, invalid_row, valid_row
from scenarios.jobs import ACCOUNT_SYNC

#: Seconds after the measured window until a job that is not done counts as infinitely late.
DRAIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a latency block saw beside its ledger."""

    block: Block
    before: Sample
    after: Sample
    lags: list[tuple[int, float]]
    hiccup: dict[str, float]
    steal_percent: float
    spawned_ns: int


async def run(turn: Turn, context: Context) -> str:
    """Run the block and append its rows to the run's tables; return why it does not count, or nothing."""
    stack = Stack(
        turn.side,
        folder=context.folder(turn),
        table=context.table,
        context=context.ledger_context(turn),
    )
    async with stack:
        observed = await _observe(turn, context, stack)
    events, _ = context.keep_events(turn)
    return _write(turn, context, observed, events)


async def _observe(turn: Turn, context: Context, stack: Stack) -> Observed:
    profile = context.profile
    plan = plans.make_plan(
        seed=context.draw("load", turn.repetition).getrandbits(32),
        prefix=turn.name,
        rates=dict.fromkeys(context.requested, profile.rate),
        seconds=profile.warmup_s + profile.latency_s,
        owners=profile.owners if ACCOUNT_SYNC in context.scenarios else 0,
    )
    for owner in plan.owners:
        (await stack.call("PUT", f"/sync/{owner}")).raise_for_status()
    generator, start_ns = await context.start_generator(stack, plan, lead_s=profile.idle_s)
    block = _window(turn, start_ns + int(profile.warmup_s * NS_PER_S), profile.latency_s)
    hiccup = _start_hiccup(context, stack, block)
    before = sample(stack)
    await sleep_until(block.start_ns)
    cpu_before = psutil.cpu_times()
    await sleep_until(block.end_ns)
    cpu_after = psutil.cpu_times()
    await stack.until(lambda events: _settled(events, block), within_s=DRAIN_S)
    after = sample(stack)
    lags = [(int(t), float(lag)) for t, lag in (await stack.call("GET", "/lag")).json()]
    await context.end_generator(generator)
    await context.table.stop(hiccup)
    return Observed(
        block=block,
        before=before,
        after=after,
        lags=lags,
        hiccup=json.loads((stack.folder / "hiccup.json").read_text()),
        steal_percent=_steal_percent(cpu_before, cpu_after),
        spawned_ns=stack.spawned_ns,
    )


def _write(turn: Turn, context: Context, seen: Observed, events: list[dict[str, Any]]) -> str:
    directory, block = context.directory, seen.block
    jobs = latency.job_frame(events, block)
    requests = latency.request_frame(events, block)
    idle_from = block.start_ns - int((context.profile.warmup_s + context.profile.idle_s) * NS_PER_S)
    idle_to = block.start_ns - int(context.profile.warmup_s * NS_PER_S)
    idle = [(t, lag) for t, lag in seen.lags if idle_from <= t < idle_to]
    rows = [latency.latency_frame(jobs, requests, block), latency.host_tax_frame(seen.lags, idle, block)]
    directory.append_frame("jobs", jobs)
    directory.append_frame("requests", requests)
    directory.append_frame("latency", pd.concat([frame for frame in rows if not frame.empty]))
    directory.append("cost", [_cost_row(turn, seen, events)])
    row = _block_row(turn, seen, jobs, requests)
    directory.append("blocks", [row])
    return str(row.get("reason", ""))


def _cost_row(turn: Turn, seen: Observed, events: list[dict[str, Any]]) -> dict[str, object]:
    effects = [event["t"] for event in events if event["event"] == "effect"]
    return cost.cost_row(
        seen.block,
        before=seen.before,
        after=seen.after,
        jobs=sum(seen.before.t_ns <= t < seen.after.t_ns for t in effects),
        config_lines=config_lines(turn.side),
        cold_start_s=(min(effects) - seen.spawned_ns) / NS_PER_S,
    )


def _block_row(turn: Turn, seen: Observed, jobs: pd.DataFrame, requests: pd.DataFrame) -> dict[str, object]:
    hiccup_p99_ms = seen.hiccup["p99_ms"]
    noise = validity.noise(jobs, requests, steal_percent=seen.steal_percent, hiccup_p99_ms=hiccup_p99_ms)
    columns = {
        "seconds": (seen.block.end_ns - seen.block.start_ns) / NS_PER_S,
        "hiccup_p99_ms": hiccup_p99_ms,
        "hiccup_max_ms": seen.hiccup["max_ms"],
        "steal_percent": seen.steal_percent,
        "lateness_ms": noise.lateness_ms,
    }
    reason = validity.reason(noise)
    return invalid_row(turn, reason, **columns) if reason else valid_row(turn, **columns)


def _window(turn: Turn, start_ns: int, seconds: float) -> Block:
    return Block(
        block=turn.name,
        side=turn.side.name,
        repetition=turn.repetition,
        start_ns=start_ns,
        end_ns=start_ns + int(seconds * NS_PER_S),
    )


def _start_hiccup(context: Context, stack: Stack, block: Block) -> Process:
    seconds = (block.end_ns - block.start_ns) / NS_PER_S
    return context.table.start(
        "hiccup",
        [
            *(sys.executable, "-m", "bench.hiccup", "--start-at", str(block.start_ns)),
            *("--seconds", str(seconds), "--folder", str(stack.folder)),
        ],
        env=stack.env,
        folder=stack.folder,
    )


def _settled(events: list[dict[str, Any]], block: Block) -> bool:
    jobs = latency.job_frame(events, block)
    return not jobs.empty and bool((jobs["outcome"] != "unfinished").all())


def _steal_percent(before: Any, after: Any) -> float:
    total = sum(after) - sum(before)
    stolen = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
    return round(100 * stolen / total, 3) if total else 0.0
