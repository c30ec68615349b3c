"""Fault 13: a deploy. The process that runs the jobs gets SIGTERM while jobs run; a new one follows."""

from __future__ import annotations

import signal

from bench.faults.spec import Expected, Fault, wait_for_running_job
from bench.faults.target import Target
from bench.process.process_table import Process

#: Seconds that a platform gives a process to end before it kills it.
PLATFORM_GRACE_S = 20.0
#: Seconds that the jobs of the load may take after it: two at a time, 0.6 s each, by a worker that starts
#: in ten seconds where the machine is busy. After 15 s some were still in the queue, one in five times.
DRAIN_S = 40.0


async def strike(target: Target) -> None:
    """SIGTERM the worker, or the app where the work lives in it; start the next when it has ended."""
    await wait_for_running_job(target)
    await target.stamp_kill()
    await terminate(workplace(target))
    await start_next(target)


def workplace(target: Target) -> Process:
    """The process that runs the jobs: the worker, or without one the app."""
    return target.processes.parts["worker" if target.queued else "app"]


async def terminate(process: Process, *, whole_group: bool = False) -> bool:
    """End a process as a platform does: SIGTERM, a grace, SIGKILL; return whether it ended in time."""
    (process.signal_group if whole_group else process.signal)(signal.SIGTERM)
    in_time = await process.ended(within_s=PLATFORM_GRACE_S)
    process.kill()
    return in_time


async def start_next(target: Target) -> None:
    """Start the process that runs the jobs again."""
    if target.queued:
        target.processes.start_worker()
    else:
        await target.processes.restart_app()


QUEUE = Expected(
    text="running jobs end, prefetched ones are requeued, none is lost",
    holds=lambda row: row["lost"] == row["stuck"] == 0,
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
            holds=lambda row: row["lost"] == row["stuck"] == 0,
            drain_s=DRAIN_S,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
