"""Fault 45: one job fails for ever, and the CRM is away for 4 s; its siblings have done nothing wrong."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: Seconds for which the CRM refuses every user.
AWAY_S = 4.0


async def strike(target: Target) -> None:
    """Hand over the job that always fails, and let the CRM answer 503 for a while."""
    await target.client.fault_job("crash", "always-fails")
    await target.client.set_service("crm", mode="status", status=503)
    await asyncio.sleep(AWAY_S)
    await target.client.set_service("crm", mode="ok")


FAULT = Fault(
    number=45,
    slug="one-always-fails",
    title="one job always fails, beside an outage of 4 s",
    strike=strike,
    outlasts_strike=True,
    fault_jobs=True,
    rate=3.0,
    expected={
        "inprocess": Expected(
            text="that job alone fails, visibly; its siblings are done",
            holds=lambda row: nothing_lost(row) and row["failed_visibly"] == 1 and not row["app_died"],
            drain_s=30.0,
        ),
        "inprocess-journal": Expected(
            text="that job alone fails and waits for hours; its siblings are done",
            holds=lambda row: row["lost"] == 0 and row["stuck"] == 1 and not row["app_died"],
            drain_s=30.0,
        ),
        "celery-stock": Expected(
            text="that job fails with a line in the log, and so do those that meet the outage",
            holds=lambda row: nothing_lost(row) and row["failed_visibly"] > 1,
        ),
        "celery-hardened": Expected(
            text="that job alone fails and waits for days; its siblings are retried and done",
            holds=lambda row: row["lost"] == row["failed_visibly"] == 0 and row["stuck"] == 1,
            drain_s=60.0,
        ),
    },
)
