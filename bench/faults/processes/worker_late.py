"""Fault 24: the worker starts 10 s after the first job was queued."""

from __future__ import annotations

import asyncio

from bench.faults.broker.broker_killed import prepare
from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: Seconds of load, and until the worker starts.
LOAD_S, AWAY_S = 4.0, 10.0


async def strike(target: Target) -> None:
    """Start the worker when its time has come."""
    await asyncio.sleep(AWAY_S - LOAD_S)
    target.processes.start_worker()


QUEUE = Expected(
    text="late, none is lost", holds=lambda row: nothing_lost(row) and row["late"] > 0, drain_s=25.0
)

FAULT = Fault(
    number=24,
    slug="worker-late",
    title=f"the worker starts {AWAY_S:.0f} s after the first job",
    prepare=prepare,
    strike=strike,
    timed=True,
    hits=frozenset({"worker"}),
    after_load=True,
    rate=4.0,
    load_s=LOAD_S,
    expected={"celery-stock": QUEUE, "celery-hardened": QUEUE},
)
