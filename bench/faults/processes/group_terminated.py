"""Fault 42: SIGTERM to every process of the worker or the app, three times, during one long job.

systemd does that by default at each deploy (KillMode=control-group), and so does `kill -TERM -PGID`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.faults.spec import CheckInput, Events, Expected, Fault, Row, nothing_lost, times_begun
from bench.faults.target import Target

#: The long job, and its seconds: below the hardened profile's time limit.
LONG, LONG_S = "long", 6.0
DEPLOYS = 3
#: Seconds that the new worker may take to begin the long job again.
BEGINS_S = 20.0


async def strike(target: Target) -> None:
    """Hand the long job over; terminate all processes and start new ones, three times, while it runs."""
    await target.client.fault_job("plain", LONG, seconds=LONG_S)
    for deploys in range(DEPLOYS):

        def begun_again(events: Events, deploys: int = deploys) -> bool:
            return times_begun(events, LONG) > deploys

        await target.until(begun_again, within_s=BEGINS_S)
        await target.stamp_kill()
        await target.processes.deploy(target.runs_jobs, whole_group=True)


def check(block: CheckInput) -> Mapping[str, Any]:
    """How often the long job began."""
    return {"long_starts": times_begun(block.events, LONG)}


def _starts_again(row: Row) -> bool:
    return bool(nothing_lost(row) and row["failed_visibly"] == 0 and row["long_starts"] > 1)


QUEUE = Expected(
    text="the long job starts again after each, and is done at last", holds=_starts_again, drain_s=30.0
)


FAULT = Fault(
    number=42,
    slug="group-terminated",
    title="SIGTERM to every process, three times, during one long job",
    strike=strike,
    kills=True,
    hits=frozenset({"worker"}),
    check=check,
    fault_jobs=True,
    rate=1.0,
    expected={
        "inprocess": Expected(
            text="drained within the grace: nothing is lost",
            holds=lambda row: row["lost"] == 0,
            drain_s=30.0,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": replace(QUEUE, text=f"{QUEUE.text}: no poison"),
    },
)
