"""A block with many periodic owners (`bench.plan.owner_fleet`): a side that ticks, and no other load.

start, probe | start the owners | first tick: the window begins … its last tick ends | stop
"""

from __future__ import annotations

import math

from bench.blocks.block_result import BlockResult
from bench.blocks.context import Context, sleep_until
from bench.errors import BenchError
from bench.measures.events.block import NS_PER_S, Block
from bench.measures.latency import validity
from bench.measures.latency.validity import Noise
from bench.measures.periodic import owners
from bench.measures.statistics.quantiles import quantiles
from bench.plan.blocks import BlockSpec, block_row
from bench.plan.extra_blocks import OwnerBlockSpec, ticks
from bench.plan.owner_fleet import OWNERS_VARIABLE
from bench.plan.subject import SideOptions
from bench.stack import cpu_usage
from bench.stack.resources import sample
from bench.stack.stack import Stack
from scenarios.jobs import ACCOUNT_SYNC

#: The Celery app of many owners.
CELERY_APP = "bench.app.owner_fleet.celery_app"
#: Limits, in seconds, for the start of all owners, and for the first tick after one interval.
START_LIMIT_S = 60.0
FIRST_TICK_LIMIT_S = 30.0


async def run(spec: BlockSpec, context: Context) -> str:
    """Run the block and append its rows; return why it does not count, or nothing."""
    if not isinstance(spec, OwnerBlockSpec):
        raise BenchError(f"{spec.name} is no block of owners")
    fleet, queued = spec.fleet, spec.side.queued
    options = SideOptions(env={OWNERS_VARIABLE: fleet.to_json()}, beat=False, celery_app=CELERY_APP)
    stack = context.make_stack(spec, options)
    async with stack:
        start_s = math.nan if queued else await _start(stack, spec)
        if queued:
            stack.processes.start_beat()
        block = await _first_tick(stack, spec)
        await stack.client.call("GET", "/lag")  # what came before belongs to the start
        before = cpu_usage.read(stack)
        await sleep_until(block.end_ns)
        spent = cpu_usage.between(before, cpu_usage.read(stack))
        lags = [float(lag) for _, lag in (await stack.client.call("GET", "/lag")).json()]
        pss_mb = sample(stack).pss_mb
    events, _ = context.keep_events(spec)
    seen = owners.owners_row(
        events,
        block,
        owners=fleet.noted,
        interval_ns=int(fleet.interval_s * NS_PER_S),
        ticks=ticks(fleet.interval_s),
    )
    row = {
        "block": spec.name,
        "side": spec.side.name,
        "policy": fleet.policy,
        "repetition": spec.repetition,
        "owners": fleet.owners,
        "noted": len(fleet.noted),
        "interval_s": fleet.interval_s,
        "seconds": spent.seconds,
        "start_s": start_s,
        "side_cores": spent.side_s / spent.seconds,
        "pss_mb": pss_mb,
        "lag_p99_ms": quantiles(lags).get(0.99, math.nan),
        "lag_max_ms": max(lags, default=math.nan),
    }
    stolen = {"steal_percent": spent.steal_percent}
    reason = validity.reason(Noise(**stolen))
    done = block_row(spec, reason, seconds=spent.seconds, **stolen)
    result = BlockResult(spec=spec, spent=spent, tables={"owners": [row | seen]}, row=done)
    return result.append_to(context.directory)


async def _start(stack: Stack, spec: OwnerBlockSpec) -> float:
    """Have the app start every owner; return how many seconds it took."""
    answer = await stack.client.call("POST", "/owners", content=spec.fleet.to_json(), timeout=START_LIMIT_S)
    answer.raise_for_status()
    return float(answer.json()["start_s"])


async def _first_tick(stack: Stack, spec: OwnerBlockSpec) -> Block:
    """Wait for the first run of any owner; return the window that begins with it."""

    def first() -> int | None:
        runs = (e["t"] for e in stack.events() if e["event"] == "start" and e.get("scenario") == ACCOUNT_SYNC)
        return min(runs, default=None)

    interval_s = spec.fleet.interval_s
    if not await stack.until(lambda _events: first() is not None, within_s=interval_s + FIRST_TICK_LIMIT_S):
        raise BenchError(f"no owner ran within {interval_s + FIRST_TICK_LIMIT_S:.0f} s")
    start_ns = first()
    assert start_ns is not None  # noqa: S101 - seen above
    return Block(
        block=spec.name,
        side=spec.side.name,
        repetition=spec.repetition,
        start_ns=start_ns,
        end_ns=start_ns + int(ticks(interval_s) * interval_s * NS_PER_S),
    )
