"""Fault 38: each of many users has a schedule.

10,000 syncs a second are too many for two cores on any side (400 stopped the app that hosts the in-process
side). Here are fewer; the checker reports the share that reaches the node within a tenth of a second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from bench.faults.spec import CheckInput, Expected, Fault, do_nothing
from scenarios import jobs

#: Users with a schedule.
USERS = 100
#: Nanoseconds within which requests count as one herd.
WINDOW_NS = 100_000_000
#: Shares of the users from which it is a herd, and below which workers bound it.
HERD, BOUND = 0.3, 0.15


def check(block: CheckInput) -> Mapping[str, Any]:
    """The most syncs that reached the node within a tenth of a second, as a count and as a share.

    Syncs count from the start of the load: before it the schedules are started one after the other.
    """
    times = sorted(
        int(event["t"])
        for event in block.events
        if event["event"] == "effect"
        and event.get("scenario") == jobs.ACCOUNT_SYNC
        and int(event["t"]) >= block.start_ns
    )
    most = max((bisect_left(times, t + WINDOW_NS) - at for at, t in enumerate(times)), default=0)
    return {"herd": most, "share": most / max(1, len(block.owners)), "syncs": len(times)}


QUEUE = Expected(
    text="the workers bound it",
    holds=lambda row: row["syncs"] > 0 and row["share"] < BOUND,
    note=f"{USERS} users instead of 10,000",
)

FAULT = Fault(
    number=38,
    slug="herd",
    title="a schedule for each of many users",
    strike=do_nothing,
    timed=True,
    scenario=jobs.ACCOUNT_SYNC,
    check=check,
    owners=USERS,
    rate=1.0,
    load_s=10.0,
    expected={
        "inprocess": Expected(
            text="hammers the service: all at once",
            holds=lambda row: row["share"] >= HERD,
            note=f"{USERS} users instead of 10,000",
        ),
        "inprocess-journal": Expected(
            text="hammers the service: all at once",
            holds=lambda row: row["share"] >= HERD,
            note=f"{USERS} users instead of 10,000",
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
