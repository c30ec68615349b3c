"""A block with many periodic owners (`bench.plan.owner_fleet`): a side that ticks, and no other load.

start, probe | start the owners | first tick: the window begins … its last tick ends | stop
"""

from __future__ import annotations

import math

from bench.blocks.context import Context, sleep_until
from bench.errors import BenchError
from bench.measures.events.block import NS_PER_S, Block
from bench.measures.latency import validity
from bench.measures.latency.validity import Noise
from bench.measures.load.cpu_shares import own_row
from bench.measures.periodic import owners
from bench.measures.statistics.quantiles import quantiles
from bench.plan.blocks import Turn, block_row
from bench.plan.extra_blocks import OwnerTurn, ticks
from bench.plan.owner_fleet import OWNERS_VARIABLE
from bench.stack import cpu_usage
from bench.stack.resources import sample
from bench.stack.stack import Stack
from scenarios.jobs import ACCOUNT_SYNC

#: The Celery app of many owners.
CELERY_APP = "bench.app.owner_fleet.celery_app"
#: Seconds that starting all owners may take, and beyond an interval the first tick.
START_LIMIT_S = 60.0
FIRST_TICK_LIMIT_S = 30.0


async def run(turn: Turn, context: Context) -> str:
    """Run the block and append its rows; return why it does not count, or nothing."""
    if not isinstance(turn, OwnerTurn):
        raise BenchError(f"{turn.name} is no block of owners")
    many, queued = turn.many, turn.side.queued
    stack = context.make_stack(
        turn,
        env={OWNERS_VARIABLE: many.to_json()},
        beat=False,
        celery_app=CELERY_APP if queued else "",
    )
    async with stack:
        start_s = math.nan if queued else await _start(stack, turn)
        if queued:
            stack.start_beat()
        block = await _first_tick(stack, turn)
        await stack.call("GET", "/lag")  # what came before belongs to the start
        before = cpu_usage.read(stack)
        await sleep_until(block.end_ns)
        spent = cpu_usage.between(before, cpu_usage.read(stack))
        lags = [float(lag) for _, lag in (await stack.call("GET", "/lag")).json()]
        pss_mb = sample(stack).pss_mb
    events, _ = context.keep_events(turn)
    seen = owners.owners_row(
        events,
        block,
        owners=many.noted,
        interval_ns=int(many.interval_s * NS_PER_S),
        ticks=ticks(many.interval_s),
    )
    row = {
        "block": turn.name,
        "side": turn.side.name,
        "policy": many.policy,
        "repetition": turn.repetition,
        "owners": many.owners,
        "noted": len(many.noted),
        "interval_s": many.interval_s,
        "seconds": spent.seconds,
        "start_s": start_s,
        "side_cores": spent.side_s / spent.seconds,
        "pss_mb": pss_mb,
        "lag_p99_ms": quantiles(lags).get(0.99, math.nan),
        "lag_max_ms": max(lags, default=math.nan),
    }
    context.directory.append("owners", [row | seen])
    context.directory.append("own", [own_row(turn.name, turn.measure, turn.side.name, spent)])
    stolen = {"steal_percent": spent.steal_percent}
    reason = validity.reason(Noise(**stolen))
    done = block_row(turn, reason, seconds=spent.seconds, **stolen)
    context.directory.append("blocks", [done])
    return reason


async def _start(stack: Stack, turn: OwnerTurn) -> float:
    """Have the app start every owner; return how many seconds it took."""
    answer = await stack.call("POST", "/owners", content=turn.many.to_json(), timeout=START_LIMIT_S)
    answer.raise_for_status()
    return float(answer.json()["start_s"])


async def _first_tick(stack: Stack, turn: OwnerTurn) -> Block:
    """Wait for the first run of any owner; return the window that begins with it."""

    def first() -> int | None:
        runs = (e["t"] for e in stack.events() if e["event"] == "start" and e.get("scenario") == ACCOUNT_SYNC)
        return min(runs, default=None)

    interval_s = turn.many.interval_s
    if not await stack.until(lambda _events: first() is not None, within_s=interval_s + FIRST_TICK_LIMIT_S):
        raise BenchError(f"no owner ran within {interval_s + FIRST_TICK_LIMIT_S:.0f} s")
    start_ns = first()
    assert start_ns is not None  # noqa: S101 - seen above
    return Block(
        block=turn.name,
        side=turn.side.name,
        repetition=turn.repetition,
        start_ns=start_ns,
        end_ns=start_ns + int(ticks(interval_s) * interval_s * NS_PER_S),
    )
