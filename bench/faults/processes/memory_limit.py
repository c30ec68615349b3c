"""Fault 14: a job takes so much memory that its process passes the limit and is killed.

The limit is kept as earlyoom and systemd-oomd keep theirs: a watcher outside sends SIGKILL to the
process that has passed it. So it needs no control group and no root.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import psutil

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target
from bench.process.process_table import rss_mb, with_children

#: Megabytes that the job takes, and that a process may have.
TAKES_MB, LIMIT_MB = 400, 300
#: Seconds for which the job holds its memory, and for which the limit is watched.
HOLDS_S, WATCHED_S = 3.0, 8.0
#: Seconds between two looks.
LOOK_S = 0.02


async def strike(target: Target) -> None:
    """Hand the hungry job over and keep the limit; start the app again where it was killed."""
    name = "worker" if target.queued else "app"
    handing = asyncio.create_task(target.client.fault_job("hungry", "hungry", mb=TAKES_MB, seconds=HOLDS_S))
    target.facts["killed"] = await _keep_limit(target, target.processes.parts[name].pid)
    await handing
    if target.processes.parts["app"].exit_code() is not None:
        await target.processes.restart_app()


async def _keep_limit(target: Target, pid: int) -> int:
    """Kill each process that passes the limit; return how many did."""
    end, killed = time.monotonic() + WATCHED_S, set[int]()
    while time.monotonic() < end:
        for process in with_children(pid):
            if rss_mb(process) > LIMIT_MB:
                killed.add(process.pid)
                await target.stamp_kill()
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        await asyncio.sleep(LOOK_S)
    return len(killed)


FAULT = Fault(
    number=14,
    slug="memory-limit",
    title="a job passes the memory limit",
    strike=strike,
    kills=True,
    hits=frozenset({"worker"}),
    fault_jobs=True,
    latency_ms=600.0,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="the app dies with its jobs",
            holds=lambda row: row["app_died"] and row["lost"] + row["unknown"] > 0,
            drain_s=10.0,
        ),
        "inprocess-journal": Expected(
            text="the app dies; its jobs run in the next process",
            holds=lambda row: row["app_died"] and nothing_lost(row),
            drain_s=40.0,
        ),
        "celery-stock": Expected(
            text="the child dies and its job is lost; the app is fine",
            holds=lambda row: row["lost"] == 1 and not row["app_died"],
        ),
        "celery-hardened": Expected(
            text="the child dies, its job runs again and ends in the dead set; the app is fine",
            holds=lambda row: nothing_lost(row) and not row["app_died"],
            drain_s=40.0,
        ),
    },
)
