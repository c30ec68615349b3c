"""Fault 29: two replicas of the app, two of beat.

In-process the sync is started under a lease (`Leased`), as its users would with more than one process. The
lease is a lock on a file, which holds on one host; replicas on several need `PostgresLease` or `RedisLease`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx

from bench.faults.spec import Expected, Fault, do_nothing
from bench.faults.target import Target
from bench.faults.tick_checker import ticks
from scenarios import jobs

#: Names the file of the in-process sync's lease (`inprocess.scenario_children`).
LEASE_VARIABLE = "QUEUE_OR_TASK_SYNC_LEASE"


async def prepare(target: Target) -> None:
    """Start a second app and a second beat; the second app syncs the same owners."""
    url = await target.processes.start_replica()
    async with httpx.AsyncClient(trust_env=False) as client:
        for owner in target.client.owners:
            (await client.put(f"{url}/sync/{owner}")).raise_for_status()
    if target.queued:
        target.processes.start_beat("beat-2")


def sync_lease(folder: Path) -> Mapping[str, str]:
    """Name the file of the lease, which both replicas of the app share."""
    return {LEASE_VARIABLE: str(folder / "sync.lease")}


TEXT = "a lease lets one of them tick"

FAULT = Fault(
    number=29,
    slug="two-replicas",
    title="two replicas of the app, two of beat",
    prepare=prepare,
    strike=do_nothing,
    environment=sync_lease,
    scenario=jobs.ACCOUNT_SYNC,
    check=ticks,
    owners=2,
    rate=1.0,
    load_s=12.0,
    expected={
        "inprocess": Expected(
            text=TEXT,
            holds=lambda row: row["bursts"] == 0,
            note="the sync is `Leased` with a file's lock, which holds on one host",
        ),
        "inprocess-journal": Expected(
            text=TEXT,
            holds=lambda row: row["bursts"] == 0,
            note="a lease on a file beside the database, which holds on one host",
        ),
        "celery-stock": Expected(
            text="each ticks: the owner is synced twice", holds=lambda row: row["bursts"] > 0
        ),
        "celery-hardened": Expected(text=TEXT, holds=lambda row: row["bursts"] == 0),
    },
)
