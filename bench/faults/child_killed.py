"""Fault 11: the child of the worker's pool that runs a job is killed with SIGKILL."""

from __future__ import annotations

import psutil

from bench import ledger_io
from bench.faults.fault import Expected, Fault, amid_jobs
from bench.stack import Stack


async def strike(stack: Stack) -> None:
    """Kill a child that runs a job; the newest where each has just ended its own."""
    await amid_jobs(stack)
    children = psutil.Process(stack.parts["worker"].pid).children()
    busy = [child for child in children if _runs_a_job(stack, child.pid)]
    for child in (busy or children)[-1:]:
        child.kill()


def _runs_a_job(stack: Stack, pid: int) -> bool:
    """Whether the last thing that the process wrote into its own ledger is the start of a job."""
    own = stack.ledger / f"events-{pid}.jsonl"
    if not own.exists():
        return False
    events, _ = ledger_io.read_events(own)
    return bool(events) and events[-1]["event"] == "start"


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
            drain_s=20.0,
        ),
    },
)
