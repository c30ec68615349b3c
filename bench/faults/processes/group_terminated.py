"""Fault 42: SIGTERM to every process of the worker or the app, three times, during one long job.

systemd does that by default at each deploy (KillMode=control-group), and so does `kill -TERM -PGID`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from bench.faults.processes.deploy import start_next, terminate, workplace
from bench.faults.spec import CheckInput, Events, Expected, Fault, Row, nothing_lost
from bench.faults.target import Target
from bench.ledger.job_names import MARK

#: Deploys, and the seconds of the long job: below the hardened profile's time limit.
DEPLOYS, LONG_S = 3, 6.0
#: Seconds that the new worker may take to begin the long job again.
BEGINS_S = 20.0


async def strike(target: Target) -> None:
    """Hand the long job over; terminate all processes and start new ones, three times, while it runs."""
    await target.client.fault_job("plain", "long", seconds=LONG_S)
    for deploy in range(DEPLOYS):
        await target.until(partial(_began, deploy + 1), within_s=BEGINS_S)
        if deploy == 0:
            await target.stamp_kill()
        await terminate(workplace(target), whole_group=True)
        await start_next(target)


def _began(times: int, events: Events) -> bool:
    return _starts(events) >= times


def _starts(events: Events) -> int:
    """How often the long job has begun."""
    return sum(event["event"] == "start" and MARK in str(event.get("job", "")) for event in events)


def check(block: CheckInput) -> Mapping[str, Any]:
    """How often the long job began."""
    return {"long_starts": _starts(block.events)}


def _starts_again(row: Row) -> bool:
    return bool(nothing_lost(row) and row["failed_visibly"] == 0 and row["long_starts"] > 1)


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
        "celery-stock": Expected(
            text="the long job starts again after each, and is done at last",
            holds=lambda row: (
                row["lost"] == row["stuck"] == row["failed_visibly"] == 0 and row["long_starts"] > 1
            ),
            drain_s=30.0,
        ),
        "celery-hardened": Expected(
            text="the long job starts again after each, and is done at last: no poison",
            holds=lambda row: (
                row["lost"] == row["stuck"] == row["failed_visibly"] == 0 and row["long_starts"] > 1
            ),
            drain_s=30.0,
        ),
    },
)
