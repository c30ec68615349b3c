"""Fault 4: the CRM takes 2 ± 1 s for each call."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, do_nothing, nothing_lost
from bench.faults.target import Target

#: Seconds that the CRM takes, and how far it strays from that.
SECONDS, JITTER_S = 2.0, 1.0
#: Milliseconds within which a caller that is not slowed down has its answer.
CALLER_MS = 1000.0


async def prepare(target: Target) -> None:
    """Make the CRM slow from the start."""
    await target.client.set_service("crm", mode="slow", seconds=SECONDS, jitter=JITTER_S)


QUEUE = Expected(
    text="the backlog grows, so that jobs are late; the caller is fine",
    holds=lambda row: nothing_lost(row) and row["late"] > 0 and row["caller_max_ms"] < CALLER_MS,
    drain_s=45.0,
)

FAULT = Fault(
    number=4,
    slug="slow",
    title="the CRM takes 2 ± 1 s",
    prepare=prepare,
    strike=do_nothing,
    timed=True,
    rate=3.0,
    expected={
        "inprocess": Expected(
            text="all run at once below the bound; none is lost", holds=nothing_lost, drain_s=20.0
        ),
        "inprocess-journal": Expected(
            text="all run at once below the bound; none is lost", holds=nothing_lost, drain_s=20.0
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
