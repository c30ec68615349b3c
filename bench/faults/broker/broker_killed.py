"""Fault 20: the broker is killed with SIGKILL while jobs wait in it, and started again."""

from __future__ import annotations

import asyncio

from bench.faults.spec import Expected, Fault
from bench.faults.target import Target
from bench.process.process_table import STOP_GRACE_S


async def prepare(target: Target) -> None:
    """Take the worker away, so that the jobs wait."""
    await target.processes.parts["worker"].stop(grace_s=STOP_GRACE_S)


async def strike(target: Target) -> None:
    """Kill the broker with the jobs in it, start it again, then a worker."""
    if target.processes.broker is None:
        return
    await target.stamp_kill()
    await asyncio.to_thread(target.processes.broker.kill)
    await target.processes.restart_broker()
    target.processes.start_worker()


FAULT = Fault(
    number=20,
    slug="broker-killed",
    title="kill -9 the broker with jobs queued",
    prepare=prepare,
    strike=strike,
    kills=True,
    timed=True,
    hits=frozenset({"broker", "worker"}),
    after_load=True,
    rate=8.0,
    load_s=4.0,
    expected={
        "celery-stock": Expected(
            text="nothing is persisted: every queued job is lost",
            holds=lambda row: row["lost"] == row["accepted"] > 0,
            drain_s=12.0,
        ),
        "celery-hardened": Expected(
            text="the append-only file keeps every job",
            holds=lambda row: row["lost"] == row["stuck"] == 0,
            drain_s=12.0,
        ),
    },
)
