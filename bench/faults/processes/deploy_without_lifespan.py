"""Fault 43: SIGTERM to an app without a lifespan, under uvicorn with uvicorn's own signals.

In-process its supervision tree lives on a background runtime. The app of a queue only hands over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.faults.spec import Expected, Fault, Row, nothing_lost, wait_for_running_job
from bench.faults.target import Target


def environment(_folder: Path) -> Mapping[str, str]:
    """Have the app start its tree at import, without a lifespan, and uvicorn handle the signals."""
    return {"QUEUE_OR_TASK_HOST": "runtime"}


async def strike(target: Target) -> None:
    """Deploy the app, and note what its log says of the work that it had."""
    await wait_for_running_job(target)
    log = target.processes.parts["app"].log
    await target.stamp_kill()
    in_time = await target.processes.deploy("app")
    lines = log.read_text(errors="replace").splitlines()
    target.facts["ended_in_time"] = "yes" if in_time else "no"
    target.facts["cut_off"] = sum("cut off and lost" in line for line in lines)


def _ended_with_all(row: Row) -> bool:
    return nothing_lost(row) and row["ended_in_time"] == "yes"


QUEUE = Expected(text="what was accepted is at the broker: none is lost", holds=_ended_with_all, drain_s=40.0)


FAULT = Fault(
    number=43,
    slug="deploy-without-lifespan",
    title="SIGTERM to an app whose tree lives on a background runtime",
    strike=strike,
    kills=True,
    environment=environment,
    latency_ms=600.0,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="drained within the grace; what is cut off is reported by name",
            holds=_ended_with_all,
        ),
        "inprocess-journal": Expected(
            text="what is cut off runs in the next process; none is lost",
            holds=_ended_with_all,
            drain_s=25.0,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
