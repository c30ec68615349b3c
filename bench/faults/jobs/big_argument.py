"""Fault 8: one argument of 50 MB."""

from __future__ import annotations

import time

from redis import Redis

from bench.app.fault_jobs.work import MB
from bench.faults.spec import Expected, Fault, nothing_lost
from bench.stack.stack import Stack

#: The answer to a hand-over that was taken.
ACCEPTED = 202
#: Megabytes of the argument.
SIZE_MB = 50
#: What a broker holds at least for it: base64 and the envelope make it a third larger.
BROKER_FACTOR = 1.33


async def strike(stack: Stack) -> None:
    """Hand it over; note how long that took, and the broker's peak."""
    before_mb = _peak_mb(stack)
    started = time.monotonic()
    stack.facts["status"] = await stack.odd("big", "big", mb=SIZE_MB)
    stack.facts["handover_s"] = time.monotonic() - started
    stack.facts["broker_mb"] = _peak_mb(stack) - before_mb


def _peak_mb(stack: Stack) -> float:
    """The most memory that the broker has held; 0 without one."""
    if stack.broker is None:
        return 0.0
    with Redis.from_url(stack.broker.url) as broker:
        return float(broker.info("memory")["used_memory_peak"]) / MB


QUEUE = Expected(
    text=f"{BROKER_FACTOR} times through the broker, everything slows; none is lost",
    holds=lambda row: (
        nothing_lost(row) and row["status"] == ACCEPTED and row["broker_mb"] > SIZE_MB * BROKER_FACTOR
    ),
    drain_s=30.0,
)

FAULT = Fault(
    number=8,
    slug="big-argument",
    title=f"an argument of {SIZE_MB} MB",
    strike=strike,
    hits=frozenset({"broker"}),
    odd_jobs=True,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="by reference: nothing is copied, none is lost",
            holds=lambda row: nothing_lost(row) and row["status"] == ACCEPTED,
            drain_s=20.0,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
