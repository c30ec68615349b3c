"""Fault 32: long jobs come before short ones, at two workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.faults.spec import DEADLINE_MS, CheckInput, Expected, Fault, nothing_lost
from bench.faults.target import Target
from bench.ledger.job_names import MARK
from bench.measures.faults.failure import judge
from scenarios import jobs

#: Long jobs, and their seconds: one more than the two workers' half of the slots, so that one is full.
#: Below the hardened profile's time limit.
LONG, LONG_S = 3, 6.5


async def prepare(target: Target) -> None:
    """Start a second worker."""
    if target.queued:
        target.processes.start_worker("worker-2")


async def strike(target: Target) -> None:
    """Hand the long jobs over; the short ones go on coming."""
    for number in range(LONG):
        await target.client.fault_job("plain", f"long{number}", seconds=LONG_S)


def check(block: CheckInput) -> Mapping[str, Any]:
    """How many of the short jobs were late."""
    judged = judge(block.events, scenario=jobs.ACCOUNT_SETUP, deadline_ms=DEADLINE_MS)
    return {"late_short": sum(MARK not in job for job in judged.flags["late"])}


FAULT = Fault(
    number=32,
    slug="long-before-short",
    title="long jobs ahead of short ones",
    prepare=prepare,
    strike=strike,
    timed=True,
    hits=frozenset({"worker"}),
    outlasts_strike=True,
    check=check,
    fault_jobs=True,
    rate=3.0,
    load_s=10.0,
    expected={
        "inprocess": Expected(
            text="they interleave: no short one is late",
            holds=lambda row: nothing_lost(row) and row["late_short"] == 0,
            drain_s=25.0,
        ),
        "inprocess-journal": Expected(
            text="they interleave: no short one is late",
            holds=lambda row: nothing_lost(row) and row["late_short"] == 0,
            drain_s=25.0,
        ),
        "celery-stock": Expected(
            text="prefetch parks short ones behind long ones",
            holds=lambda row: nothing_lost(row) and row["late_short"] > 0,
            drain_s=25.0,
        ),
        "celery-hardened": Expected(
            text="prefetch of one: no short one is parked",
            holds=lambda row: nothing_lost(row) and row["late_short"] == 0,
            drain_s=25.0,
        ),
    },
)
