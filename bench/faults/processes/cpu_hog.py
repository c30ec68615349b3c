"""Fault 15: a job burns the processor for 2 s.

In-process it runs on the loop, since that is the fault; offloaded to a process it is the measure `hogs`.
"""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target
from bench.faults.tick_checker import ticks

#: Seconds of burning, and the loop's lag (ms) from which its requests felt it.
HOG_S, FELT_MS = 2.0, 1000.0


async def strike(target: Target) -> None:
    """Hand one over."""
    await target.client.fault_job("hog", "hog", seconds=HOG_S)


QUEUE = Expected(
    text="one slot is held; the caller is fine",
    holds=lambda row: nothing_lost(row) and row["lag_max_ms"] < FELT_MS,
)

FAULT = Fault(
    number=15,
    slug="cpu-hog",
    title="a job burns the processor for 2 s",
    strike=strike,
    timed=True,
    outlasts_strike=True,
    check=ticks,
    fault_jobs=True,
    owners=2,
    rate=3.0,
    load_s=8.0,
    expected={
        "inprocess": Expected(
            text="on the loop: every tick and request is late",
            holds=lambda row: nothing_lost(row) and row["lag_max_ms"] > FELT_MS,
        ),
        "inprocess-journal": Expected(
            text="on the loop: every tick and request is late",
            holds=lambda row: nothing_lost(row) and row["lag_max_ms"] > FELT_MS,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
