"""Fault 10: the app is killed with SIGKILL while jobs are under way, and started again."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault, wait_for_running_job
from bench.faults.target import Target

#: Seconds until the platform starts the app again.
DOWN_S = 1.0


async def strike(target: Target) -> None:
    """Kill the app, wait as a platform would, start it again on its port."""
    await wait_for_running_job(target)
    await target.stamp_kill()
    target.processes.parts["app"].kill()
    await asyncio.sleep(DOWN_S)
    await target.processes.restart_app()


QUEUE = Expected(
    text="every accepted job is safe", holds=lambda row: row["lost"] == row["stuck"] == 0, drain_s=25.0
)

FAULT = Fault(
    number=10,
    slug="app-killed",
    title="kill -9 the app",
    strike=strike,
    kills=True,
    timed=True,
    latency_ms=600.0,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="everything in memory is lost", holds=lambda row: row["lost"] > 0, drain_s=10.0
        ),
        "inprocess-journal": Expected(
            text="every accepted job runs in the next process",
            holds=lambda row: row["lost"] == row["stuck"] == 0,
            drain_s=25.0,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
        "inline": Expected(
            text="the request under way fails; nothing that was accepted is lost",
            holds=lambda row: row["lost"] == 0,
            drain_s=5.0,
        ),
    },
)
