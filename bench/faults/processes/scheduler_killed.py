"""Fault 28: what makes the ticks is killed; beat is started again after 5 s, as a platform would."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault
from bench.faults.target import Target
from bench.faults.tick_checker import ticks
from bench.measures.periodic.phase_step import REPAID_MS
from scenarios import jobs

#: Seconds until beat is started again.
DOWN_S = 5.0
#: Ticks that an owner misses at the most where a supervisor restarts its process at once.
MISSED = 1


async def strike(target: Target) -> None:
    """Kill beat, or in-process the process of each owner, which its supervisor restarts at once."""
    await target.stamp_kill()
    if not target.queued:
        for owner in target.client.owners:
            await target.client.call("POST", "/fault-jobs", json={"kind": "kill-scheduler", "key": owner})
        return
    target.processes.parts["beat"].kill()
    await asyncio.sleep(DOWN_S)
    target.processes.start_beat()


FAULT = Fault(
    number=28,
    slug="scheduler-killed",
    title="the scheduler is killed",
    strike=strike,
    kills=True,
    timed=True,
    scenario=jobs.ACCOUNT_SYNC,
    check=ticks,
    owners=2,
    rate=1.0,
    load_s=24.0,
    linger_s=8.0,
    expected={
        "inprocess": Expected(
            text="restarted by its supervisor, the grid is kept, misses are counted",
            holds=lambda row: row["missed"] <= MISSED * 2 and abs(row["step_ms"]) < REPAID_MS,
        ),
        "inprocess-journal": Expected(
            text="restarted by its supervisor, the grid is kept, misses are counted",
            holds=lambda row: row["missed"] <= MISSED * 2 and abs(row["step_ms"]) < REPAID_MS,
        ),
        "celery-stock": Expected(
            text="the grid is lost, nothing is caught up",
            holds=lambda row: row["missed"] > 0 and abs(row["step_ms"]) >= REPAID_MS,
        ),
        "celery-hardened": Expected(
            text="misses while it is away, the grid is kept",
            holds=lambda row: row["missed"] > 0 and abs(row["step_ms"]) < REPAID_MS,
        ),
    },
)
