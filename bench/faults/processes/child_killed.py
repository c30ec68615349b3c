"""Fault 11: the child process that runs a job is killed with SIGKILL.

In-process that is a job with process isolation; all others run in the app itself.
"""

from __future__ import annotations

import psutil

from bench.faults.spec import RUNNING_JOB_WAIT_S, Events, Expected, Fault, nothing_lost, wait_for_running_job
from bench.faults.target import Target
from bench.ledger import reader
from bench.ledger.job_names import MARK

#: Seconds of the job that runs in a process of its own.
ISOLATED_S = 2.0


async def strike(target: Target) -> None:
    """Kill a child that runs a job; the newest where each has just ended its own."""
    if target.queued:
        await wait_for_running_job(target)
    else:
        await target.client.fault_job("plain", "isolated", isolation="process", seconds=ISOLATED_S)
        await target.until(_isolated_started, within_s=RUNNING_JOB_WAIT_S)
    parent = target.processes.parts["worker" if target.queued else "app"]
    children = psutil.Process(parent.pid).children(recursive=not target.queued)
    busy = [child for child in children if _runs_a_job(target, child.pid)]
    for child in (busy or children)[-1:]:
        await target.stamp_kill()
        child.kill()


def _isolated_started(events: Events) -> bool:
    return any(event["event"] == "start" and f"{MARK}isolated/" in event["job"] for event in events)


def _runs_a_job(target: Target, pid: int) -> bool:
    """Whether the last thing that the process wrote into its own ledger is the start of a job."""
    own = target.ledger / f"events-{pid}.jsonl"
    if not own.exists():
        return False
    events, _ = reader.read_events(own)
    return bool(events) and events[-1]["event"] == "start"


FAULT = Fault(
    number=11,
    slug="child-killed",
    title="kill -9 a worker's child",
    strike=strike,
    kills=True,
    hits=frozenset({"worker"}),
    latency_ms=600.0,
    rate=2.0,
    fault_jobs=True,
    expected={
        "inprocess": Expected(
            text="with process isolation: that child's job is restarted",
            holds=lambda row: nothing_lost(row) and not row["app_died"],
            note="one job with isolation='process'",
        ),
        "inprocess-journal": Expected(
            text="with process isolation: that child's job runs again",
            holds=lambda row: nothing_lost(row) and not row["app_died"],
            note="one job with isolation='process'",
        ),
        "celery-stock": Expected(text="the running job is lost", holds=lambda row: row["lost"] > 0),
        "celery-hardened": Expected(
            text="the running job runs again",
            holds=lambda row: row["lost"] == row["stuck"] == 0,
            drain_s=20.0,
        ),
    },
)
