"""Fault 16: the broker refuses connections for some seconds while users arrive."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault
from bench.faults.target import Target

#: Seconds that the broker is away.
AWAY_S = 4.0
#: Milliseconds within which the hardened caller must have its answer.
BOUND_MS = 1000.0
#: Jobs that the hardened caller keeps while the broker is away.
BUFFER = "1000"


async def strike(target: Target) -> None:
    """Kill the broker, then start it again on its port and folder."""
    if target.processes.broker is None:
        return
    await asyncio.to_thread(target.processes.broker.kill)
    await asyncio.sleep(AWAY_S)
    await target.processes.restart_broker()


FAULT = Fault(
    number=16,
    slug="broker-refuses",
    title="the broker refuses at enqueue",
    strike=strike,
    timed=True,
    hits=frozenset({"broker"}),
    rate=4.0,
    load_s=8.0,
    expected={
        "celery-stock": Expected(
            text="an error at the caller after about 0.7 s",
            holds=lambda row: row["refused"] > 0 and row["unknown"] == 0,
            drain_s=25.0,
        ),
        "celery-hardened": Expected(
            text="bounded; kept in a local buffer and sent later",
            holds=lambda row: row["refused"] == 0 and row["lost"] == 0 and row["caller_max_ms"] < BOUND_MS,
            drain_s=25.0,
            note=f"Sidekiq(buffer={BUFFER}), which the profile leaves off: what it keeps dies with the app",
            env={"QUEUE_OR_TASK_BUFFER": BUFFER},
        ),
    },
)
