"""Fault 35: a deploy renames a task while jobs with the old name wait or still come."""

from __future__ import annotations

from bench.faults.processes.deploy import strike as deploy
from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: The Celery app of the new version.
RENAMED = "bench.app.fault_jobs.renamed"


async def strike(target: Target) -> None:
    """Deploy the worker's new version; the app, which sends the old name, is deployed later."""
    if not target.queued:
        await deploy(target)
        return
    await target.processes.deploy("worker", celery_app=RENAMED)


FAULT = Fault(
    number=35,
    slug="task-renamed",
    title="a deploy renames a task",
    strike=strike,
    hits=frozenset({"worker"}),
    outlasts_strike=True,
    rate=3.0,
    expected={
        "inprocess": Expected(
            text="old code ends with its jobs: what runs is drained first", holds=lambda row: row["lost"] == 0
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
