"""Fault 17: the broker takes connections and answers nothing for some seconds."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault
from bench.faults.target import Target

#: Seconds of silence: longer than a caller waits (10 s), so that a hang shows as one.
SILENT_S = 12.0
#: Milliseconds above which a caller counts as blocked.
BLOCKED_MS = 5000.0
#: Milliseconds within which the hardened caller must have its answer, on two busy cores.
BOUND_MS = 2000.0


async def strike(target: Target) -> None:
    """Stop the broker's process as it stands, then let it go on."""
    if target.processes.broker is None:
        return
    target.processes.broker.pause()
    try:
        await asyncio.sleep(SILENT_S)
    finally:
        target.processes.broker.resume()


FAULT = Fault(
    number=17,
    slug="broker-silent",
    title="the broker is silent at enqueue",
    strike=strike,
    timed=True,
    hits=frozenset({"broker"}),
    rate=2.0,
    load_s=6.0,
    expected={
        "celery-stock": Expected(
            text="the caller is blocked for as long as the silence lasts",
            holds=lambda row: row["unknown"] > 0 or row["caller_max_ms"] > BLOCKED_MS,
            drain_s=25.0,
        ),
        "celery-hardened": Expected(
            text="the caller has its answer within about 1 s",
            holds=lambda row: row["unknown"] == 0 and row["caller_max_ms"] < BOUND_MS,
            drain_s=25.0,
        ),
    },
)
