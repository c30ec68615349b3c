"""Fault 11: one child of the worker's pool is killed with SIGKILL while it runs a job."""

from __future__ import annotations

import psutil

from bench.faults.fault import Expected, Fault, amid_jobs
from bench.stack import Stack


async def strike(stack: Stack) -> None:
    """Kill the newest child of the pool; with jobs of 600 ms it is seldom idle."""
    await amid_jobs(stack)
    children = psutil.Process(stack.parts["worker"].pid).children()
    if children:
        children[-1].kill()


FAULT = Fault(
    number=11,
    slug="child-killed",
    title="kill -9 a worker's child",
    strike=strike,
    latency_ms=600.0,
    rate=2.0,
    expected={
        "celery-stock": Expected(text="the running job is lost", holds=lambda row: row["lost"] > 0),
        "celery-hardened": Expected(
            text="the running job runs again",
            holds=lambda row: row["lost"] == row["stuck"] == 0,
            drain_s=30.0,
        ),
    },
)
