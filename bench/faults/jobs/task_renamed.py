"""Fault 35: a deploy renames a task while jobs with the old name wait or still come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from bench.faults.processes.deploy import strike as deploy
from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: The Celery app of the new version.
RENAMED = "bench.app.fault_jobs.renamed"
#: Names the file whose presence makes a journalled app that starts the new version, and its name.
SWITCH_VARIABLE = "QUEUE_OR_TASK_RENAMED_FILE"
SWITCH = "renamed"
#: Seconds within which a journal has parked a job of an unknown name: a minute, and a round of its upkeep.
PARKED_S = 110.0
#: The side whose jobs outlive its app, and the seconds before its deploy in which the CRM answers 503.
JOURNALLED = "inprocess-journal"
OUTAGE_S = 1.0


def environment(folder: Path) -> Mapping[str, str]:
    """Name the switch."""
    return {SWITCH_VARIABLE: str(folder / SWITCH)}


async def strike(target: Target) -> None:
    """Deploy the worker's new version; the app, which sends the old name, is deployed later.

    Without a queue deploy the app's.
    """
    if target.processes.env["QUEUE_OR_TASK_SIDE"] == JOURNALLED:
        await _deploy_while_jobs_wait(target)
        return
    if not target.queued:
        await deploy(target)
        return
    await target.processes.deploy("worker", celery_app=RENAMED)


async def _deploy_while_jobs_wait(target: Target) -> None:
    """Deploy the app's new version while jobs wait for their retry, since the CRM is away."""
    await target.client.set_service("crm", mode="status", status=503)
    await asyncio.sleep(OUTAGE_S)
    (target.folder / SWITCH).touch()
    await deploy(target)
    await target.client.set_service("crm", mode="ok")


FAULT = Fault(
    number=35,
    slug="task-renamed",
    title="a deploy renames a task",
    strike=strike,
    environment=environment,
    hits=frozenset({"worker"}),
    outlasts_strike=True,
    rate=3.0,
    expected={
        "inprocess": Expected(
            text="old code ends with its jobs: what runs is drained first", holds=lambda row: row["lost"] == 0
        ),
        "inprocess-journal": Expected(
            text="parked with the reason after a minute; none is lost",
            holds=lambda row: nothing_lost(row) and row["failed_visibly"] > 0,
            drain_s=PARKED_S,
        ),
        "celery-stock": Expected(
            text="an unknown name: the worker discards the job",
            holds=lambda row: row["lost"] > 0,
            drain_s=15.0,
        ),
        "celery-hardened": Expected(
            text="in the dead set",
            holds=lambda row: nothing_lost(row) and row["failed_visibly"] > 0,
            drain_s=20.0,
        ),
    },
)
