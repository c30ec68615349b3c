"""Fault 23: the result store refuses connections while jobs that keep a result run."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: Jobs that keep a result, handed over while the store is away.
STORED = 3
#: Milliseconds above which the fault delayed the caller.
CALLER_MS = 1000.0


async def strike(target: Target) -> None:
    """Take the store away, hand jobs over at once, each by a caller of its own, bring it back."""
    await target.client.proxy("POST", "/down")
    handed_over = (
        target.client.fault_job("plain", f"stored{number}", **{"as": "stored"}) for number in range(STORED)
    )
    statuses = await asyncio.gather(*handed_over)
    target.facts["taken"] = sum(status == 202 for status in statuses)  # noqa: PLR2004 - Accepted
    await target.client.proxy("POST", "/up")


QUEUE = Expected(
    text="jobs are done, writing their state fails; ignored results avoid it",
    holds=lambda row: nothing_lost(row) and row["taken"] == STORED and row["caller_max_ms"] < CALLER_MS,
    drain_s=25.0,
)

FAULT = Fault(
    number=23,
    slug="results-down",
    title="the result store is down",
    strike=strike,
    timed=True,
    proxied="results",
    fault_jobs=True,
    rate=2.0,
    expected={"celery-stock": QUEUE, "celery-hardened": QUEUE},
)
