"""Fault 41: a job holds the interpreter's lock for 10 s, so that no other thread of its process runs."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: Seconds for which it holds the lock.
HOLDS_S = 10.0
#: Milliseconds of lag from which the loop counts as stopped by it.
FELT_MS = 0.9 * HOLDS_S * 1000
#: Seconds that the log has, from the strike on, to name the job.
NAMED_WITHIN_S = HOLDS_S + 5.0
#: The job, as the log names it.
NAME = "interpreter-lock"


async def strike(target: Target) -> None:
    """Hand one over; note whether the app's log names it as what holds up the loop."""
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


FAULT = Fault(
    number=41,
    slug="interpreter-lock",
    title="a job holds the interpreter's lock for 10 s",
    strike=strike,
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
    },
)
