"""Fault 6: an argument that kills the process that runs its job, each time."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Events, Expected, Fault, nothing_lost, wait_for_running_job
from bench.faults.target import Target
from bench.ledger.job_names import MARK

#: Seconds until the platform starts an app that died again.
DOWN_S = 1.0
#: Seconds within which the poison has killed its process.
DEATH_S = 10.0


async def strike(target: Target) -> None:
    """Hand over the poison while other jobs run; start the app again as often as it dies of it."""
    await wait_for_running_job(target)
    app = target.processes.parts["app"]
    await target.client.fault_job("poison", "poison")
    if await target.until(_poison_started, within_s=DEATH_S):
        await target.stamp_kill(poison_start_ns(target.events()))
    while not target.queued and await app.ended(within_s=DEATH_S):
        await asyncio.sleep(DOWN_S)
        await target.processes.restart_app()
        app = target.processes.parts["app"]


def poison_start_ns(events: Events) -> int | None:
    """When the poison's job started, which is when it kills its process (monotonic ns); None before."""
    poison = f"{MARK}poison/"
    starts = (int(event["t"]) for event in events if event["event"] == "start" and poison in event["job"])
    return min(starts, default=None)


def _poison_started(events: Events) -> bool:
    return poison_start_ns(events) is not None


FAULT = Fault(
    number=6,
    slug="poison",
    title="an argument that kills its process",
    strike=strike,
    kills=True,
    fault_jobs=True,
    latency_ms=600.0,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="the whole app and its jobs die",
            holds=lambda row: row["app_died"] and row["lost"] + row["unknown"] > 1,
            drain_s=10.0,
        ),
        "inprocess-journal": Expected(
            text="the app dies three times, then the job is in the journal's dead set; the others are done",
            holds=lambda row: nothing_lost(row) and row["failed_visibly"] == 1 and row["app_died"],
            drain_s=40.0,
        ),
        "celery-stock": Expected(
            text="the job is lost, the child is replaced; the others are done",
            holds=lambda row: row["lost"] == 1 and row["stuck"] == 0,
        ),
        "celery-hardened": Expected(
            text="capped, then in the dead set; the others are done",
            holds=lambda row: nothing_lost(row) and row["failed_visibly"] == 1,
            drain_s=40.0,
        ),
    },
)
