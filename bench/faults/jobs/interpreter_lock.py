"""Fault 41: a job holds the interpreter's lock for 10 s, so that no other thread of its process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bench.faults.spec import CheckInput, Expected, Fault, Row, nothing_lost, processes_with, times_begun
from bench.faults.target import Target

#: Seconds for which it holds the lock.
HOLDS_S = 10.0
#: Milliseconds of lag from which the loop counts as stopped by it.
FELT_MS = 0.9 * HOLDS_S * 1000
#: Seconds that the log has, from the strike on, to name the job.
NAMED_WITHIN_S = HOLDS_S + 5.0
#: The job, as the log names it.
NAME = "interpreter-lock"
#: The workers of a queue, each one process with threads, and the seconds that they have to be up.
WORKERS, UP_S = 2, 30.0
THREADS = {"CELERY_WORKER_POOL": "threads"}


async def prepare(target: Target) -> None:
    """Start a second worker, which may take what the first one loses; wait until both run jobs."""
    if not target.queued:
        return
    target.processes.start_worker("other")
    end, number = asyncio.get_running_loop().time() + UP_S, 0
    while processes_with(target, "start") < WORKERS and asyncio.get_running_loop().time() < end:
        await target.client.fault_job("plain", f"ready{number}")
        number += 1
        await asyncio.sleep(0.2)


async def strike(target: Target) -> None:
    """Hand one over; in-process note whether the app's log names it as what holds up the loop."""
    if target.queued:
        await target.client.fault_job("gil", NAME, seconds=HOLDS_S)
        return
    log = target.processes.parts["app"].log
    handing_over = asyncio.create_task(target.client.fault_job("gil", NAME, seconds=HOLDS_S))
    end = asyncio.get_running_loop().time() + NAMED_WITHIN_S
    named = False
    while not named and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.5)
        lines = log.read_text(errors="replace").splitlines()
        named = any("event loop" in line and f"{NAME}/crm" in line for line in lines)
    await handing_over
    target.facts["named"] = "yes" if named else "no"


def check(block: CheckInput) -> Mapping[str, Any]:
    """How often the job began, and what the strike noted."""
    return {**block.facts, "starts": times_begun(block.events, NAME)}


def _begun_once(row: Row) -> bool:
    return nothing_lost(row) and row["starts"] == 1


FAULT = Fault(
    number=41,
    slug="interpreter-lock",
    title="a job holds the interpreter's lock for 10 s",
    prepare=prepare,
    strike=strike,
    check=check,
    hits=frozenset({"worker"}),
    timed=True,
    outlasts_strike=True,
    fault_jobs=True,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="on the loop: everything is late, none is lost, and the watchdog names the job",
            holds=lambda row: nothing_lost(row) and row["lag_max_ms"] > FELT_MS and row["named"] == "yes",
            drain_s=30.0,
        ),
        "celery-stock": Expected(
            text="its worker stands still, the other goes on; the job runs once",
            holds=_begun_once,
            drain_s=30.0,
            note="the pool threads, two workers",
            env=THREADS,
        ),
        "celery-hardened": Expected(
            text="its worker stands still and keeps its lease, the other goes on; the job runs once",
            holds=_begun_once,
            drain_s=30.0,
            note="the pool threads, two workers",
            env=THREADS,
        ),
    },
)
