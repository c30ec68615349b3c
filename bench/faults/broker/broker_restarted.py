"""Fault 21: the broker is restarted at once while workers take from it."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault, nothing_lost, wait_for_running_job
from bench.faults.target import Target

#: Seconds within which the next job must be done.
BACK_S = 10.0


async def strike(target: Target) -> None:
    """Kill the broker and start it on the same port and folder."""
    if target.processes.broker is None:
        return
    await wait_for_running_job(target)
    await target.stamp_kill()
    await asyncio.to_thread(target.processes.broker.kill)
    await target.processes.restart_broker()


FAULT = Fault(
    number=21,
    slug="broker-restarted",
    title="the broker is restarted under its workers",
    strike=strike,
    kills=True,
    timed=True,
    hits=frozenset({"broker"}),
    latency_ms=300.0,
    rate=2.0,
    load_s=8.0,
    expected={
        "celery-stock": Expected(
            text="workers are back within seconds",
            holds=lambda row: row["t_first_s"] < BACK_S,
            drain_s=30.0,
        ),
        "celery-hardened": Expected(
            text="workers are back within seconds, and none is lost",
            holds=lambda row: nothing_lost(row) and row["t_first_s"] < BACK_S,
            drain_s=30.0,
        ),
    },
)
