"""Fault 29: two replicas of the app, two of beat."""

from __future__ import annotations

import httpx

from bench.faults.spec import Expected, Fault, do_nothing
from bench.faults.target import Target
from bench.faults.tick_checker import ticks
from scenarios import jobs


async def prepare(target: Target) -> None:
    """Start the second of each; the second app is asked for the same owners."""
    url = await target.processes.start_replica()
    async with httpx.AsyncClient(trust_env=False) as client:
        for owner in target.client.owners:
            (await client.put(f"{url}/sync/{owner}")).raise_for_status()
    if target.queued:
        target.processes.start_beat("beat-2")


TWICE = Expected(text="each ticks: the owner is synced twice", holds=lambda row: row["bursts"] > 0)

FAULT = Fault(
    number=29,
    slug="two-replicas",
    title="two replicas of the app, two of beat",
    prepare=prepare,
    strike=do_nothing,
    timed=True,
    scenario=jobs.ACCOUNT_SYNC,
    check=ticks,
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
