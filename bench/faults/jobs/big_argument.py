"""Fault 8: one argument of 50 MB."""

from __future__ import annotations

import time

from redis import Redis

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: Bytes of a megabyte.
MB = 1_000_000
#: The answer to a hand-over that was taken.
ACCEPTED = 202
#: Megabytes of the argument.
SIZE_MB = 50
#: What a broker holds at least for it: base64 and the envelope make it a third larger.
BROKER_FACTOR = 1.33


async def strike(target: Target) -> None:
    """Hand it over; note how long that took, and the broker's peak."""
    before_mb = _peak_mb(target)
    started = time.monotonic()
    target.facts["status"] = await target.client.fault_job("big", "big", mb=SIZE_MB)
    target.facts["handover_s"] = time.monotonic() - started
    target.facts["broker_mb"] = _peak_mb(target) - before_mb


def _peak_mb(target: Target) -> float:
    """The most memory that the broker has held; 0 without one."""
    if target.processes.broker is None:
        return 0.0
    with Redis.from_url(target.processes.broker.url) as broker:
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
    fault_jobs=True,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="by reference: nothing is copied, none is lost",
            holds=lambda row: nothing_lost(row) and row["status"] == ACCEPTED,
            drain_s=20.0,
        ),
        "inprocess-journal": Expected(
            text="a row of that size; none is lost",
            holds=lambda row: nothing_lost(row) and row["status"] == ACCEPTED,
            drain_s=30.0,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
