"""Fault 29: two replicas of the app, two of beat."""

from __future__ import annotations

import httpx

from bench.faults.spec import Expected, Fault, nothing
from bench.faults.tick_checker import ticks
from bench.stack.stack import Stack
from scenarios import jobs


async def prepare(stack: Stack) -> None:
    """Start the second of each; the second app is asked for the same owners."""
    url = await stack.start_replica()
    async with httpx.AsyncClient(trust_env=False) as client:
        for owner in stack.owners:
            (await client.put(f"{url}/sync/{owner}")).raise_for_status()
    if stack.side.queued:
        stack.start_beat("beat-2")


TWICE = Expected(text="each ticks: the owner is synced twice", holds=lambda row: row["bursts"] > 0)

FAULT = Fault(
    number=29,
    slug="two-replicas",
    title="two replicas of the app, two of beat",
    prepare=prepare,
    strike=nothing,
    scenario=jobs.ACCOUNT_SYNC,
    look=ticks,
    owners=2,
    rate=1.0,
    load_s=12.0,
    expected={
        "inprocess": TWICE,
        "celery-stock": TWICE,
        "celery-hardened": Expected(
            text="a lease lets one of them tick", holds=lambda row: row["bursts"] == 0
        ),
    },
)
