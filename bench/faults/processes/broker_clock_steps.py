"""Fault 40: the clock of the broker's host steps back by an hour when a worker has just died.

The clock of the server alone steps, as in fault 27 (`clock_shift`). The worker is killed and started again as
in fault 12.
"""

from __future__ import annotations

from dataclasses import replace

from bench.faults.clock_shift import SHIFT, preloaded, shift_clock, unavailable
from bench.faults.processes import worker_killed
from bench.faults.target import Target

#: Seconds of the step.
STEP_S = -3600


async def strike(target: Target) -> None:
    """Kill the worker, let the clock step, start a new worker."""
    await worker_killed.kill(target)
    shift_clock(target.folder / SHIFT, STEP_S)
    await worker_killed.start_again(target)


#: What is expected of a queue whose worker is killed, in other words.
TEXTS = {
    "celery-stock": "as a killed worker: the running jobs are lost, the prefetched ones stuck",
    "celery-hardened": "all done in seconds: who is alive is judged by no wall clock",
}

FAULT = replace(
    worker_killed.FAULT,
    number=40,
    slug="broker-clock-steps",
    title="the clock of the broker's host steps back 1 h as a worker dies",
    strike=strike,
    timed=False,
    unavailable=unavailable,
    broker_environment=preloaded,
    hits=frozenset({"broker", "worker"}),
    expected={side: replace(worker_killed.FAULT.expected[side], text=text) for side, text in TEXTS.items()},
)
