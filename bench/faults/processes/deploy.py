"""Fault 13: a deploy. The process that runs the jobs gets SIGTERM while jobs run; a new one follows."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, nothing_lost, wait_for_running_job
from bench.faults.target import Target

#: Seconds that the jobs of the load may take after it: two at a time, 0.6 s each, by a worker that starts
#: in ten seconds where the machine is busy. After 15 s some were still in the queue, one in five times.
DRAIN_S = 40.0


async def strike(target: Target) -> None:
    """SIGTERM the worker, or the app where the work lives in it; start the next when it has ended."""
    await wait_for_running_job(target)
    await target.stamp_kill()
    await target.processes.deploy(target.runs_jobs)


QUEUE = Expected(
    text="running jobs end, prefetched ones are requeued, none is lost",
    holds=nothing_lost,
    drain_s=DRAIN_S,
)

FAULT = Fault(
    number=13,
    slug="deploy",
    title="SIGTERM while jobs run (a deploy)",
    strike=strike,
    kills=True,
    timed=True,
    hits=frozenset({"worker"}),
    latency_ms=600.0,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="drained within the grace; what is cut off is reported by name",
            holds=lambda row: row["lost"] == 0,
        ),
        "inprocess-journal": Expected(
            text="what is cut off runs in the next process; none is lost",
            holds=nothing_lost,
            drain_s=DRAIN_S,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
