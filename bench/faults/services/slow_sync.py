"""Fault 33: a sync takes one and a half intervals."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, do_nothing
from bench.faults.target import Target
from bench.faults.tick_checker import ticks
from scenarios import jobs

#: Seconds that the node takes.
SYNC_S = 1.5
NO_OVERLAP = "no overlap; the ticks that a run outlasts are missed and counted"


async def prepare(target: Target) -> None:
    """Make the node slow before the load."""
    await target.client.set_service("node", mode="slow", seconds=SYNC_S)


FAULT = Fault(
    number=33,
    slug="slow-sync",
    title="a sync takes 1.5 intervals",
    prepare=prepare,
    strike=do_nothing,
    scenario=jobs.ACCOUNT_SYNC,
    check=ticks,
    owners=1,
    rate=1.0,
    load_s=14.0,
    expected={
        "inprocess": Expected(text=NO_OVERLAP, holds=lambda row: row["overlaps"] == 0 and row["missed"] > 0),
        "inprocess-journal": Expected(
            text=NO_OVERLAP, holds=lambda row: row["overlaps"] == 0 and row["missed"] > 0
        ),
        "celery-stock": Expected(text="runs overlap", holds=lambda row: row["overlaps"] > 0),
        "celery-hardened": Expected(
            text=NO_OVERLAP, holds=lambda row: row["overlaps"] == 0 and row["missed"] > 0
        ),
    },
)
