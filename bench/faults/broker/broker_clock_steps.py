"""Fault 40: the clock of the broker's host steps back by an hour when a worker has just died.

The clock of the server alone steps, as in fault 27 (`clock_shift`). The worker is killed with
all its processes, and started again after a second, as a platform does.
"""

from __future__ import annotations

import asyncio

from bench.faults.clock_shift import SHIFT, preloaded, shift_clock, unavailable
from bench.faults.spec import Expected, Fault, wait_for_running_job
from bench.faults.target import Target

#: Seconds of the step.
STEP_S = -3600
#: Seconds until the platform starts the worker again.
DOWN_S = 1.0


async def strike(target: Target) -> None:
    """Kill the worker, let the clock step, start a new worker."""
    await wait_for_running_job(target)
    await target.stamp_kill()
    target.processes.parts["worker"].kill()
    shift_clock(target.folder / SHIFT, STEP_S)
    await asyncio.sleep(DOWN_S)
    target.processes.start_worker()


FAULT = Fault(
    number=40,
    slug="broker-clock-steps",
    title="the clock of the broker's host steps back 1 h as a worker dies",
    strike=strike,
    kills=True,
    unavailable=unavailable,
    broker_environment=preloaded,
    hits=frozenset({"broker", "worker"}),
    latency_ms=600.0,
    rate=2.0,
    linger_s=8.0,
    expected={
        "celery-stock": Expected(
            text="as a killed worker: the running jobs are lost, the prefetched ones stuck",
            holds=lambda row: row["lost"] > 0 and row["stuck"] > 0,
            drain_s=20.0,
        ),
        "celery-hardened": Expected(
            text="all done in seconds: who is alive is judged by no wall clock",
            holds=lambda row: row["lost"] == row["stuck"] == 0,
            drain_s=20.0,
        ),
    },
)
