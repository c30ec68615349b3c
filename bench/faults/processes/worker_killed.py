"""Fault 12: the whole worker is killed with SIGKILL while jobs are under way, and started again."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault, nothing_lost, wait_for_running_job
from bench.faults.target import Target

#: Seconds until the platform starts the worker again.
DOWN_S = 1.0


async def kill(target: Target) -> None:
    """Kill the worker and its children while a job runs."""
    await wait_for_running_job(target)
    await target.stamp_kill()
    target.processes.parts["worker"].kill()


async def start_again(target: Target) -> None:
    """Wait as a platform would, and start a new worker."""
    await asyncio.sleep(DOWN_S)
    target.processes.start_worker()


async def strike(target: Target) -> None:
    """Kill the worker and its children, and start a new one."""
    await kill(target)
    await start_again(target)


FAULT = Fault(
    number=12,
    slug="worker-killed",
    title="kill -9 the whole worker",
    strike=strike,
    kills=True,
    timed=True,
    hits=frozenset({"worker"}),
    latency_ms=600.0,
    rate=2.0,
    linger_s=8.0,
    expected={
        "celery-stock": Expected(
            text="the running jobs are lost, the prefetched ones stuck for up to an hour",
            holds=lambda row: row["lost"] > 0 and row["stuck"] > 0,
            drain_s=20.0,
        ),
        "celery-hardened": Expected(
            text="all done in seconds; one whose effect came just before the kill may double",
            holds=nothing_lost,
            drain_s=20.0,
        ),
    },
)
