"""Fault 43: SIGTERM to an app whose supervision tree lives on a background runtime, under uvicorn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.faults.processes.deploy import terminate
from bench.faults.spec import Expected, Fault, wait_for_running_job
from bench.faults.target import Target


def environment(_folder: Path) -> Mapping[str, str]:
    """Have the app start its tree at import, without a lifespan, and uvicorn handle the signals."""
    return {"QUEUE_OR_TASK_HOST": "runtime"}


async def strike(target: Target) -> None:
    """SIGTERM the app, note what its log says of the work that it had, and start it again."""
    await wait_for_running_job(target)
    old = target.processes.parts["app"]
    await target.stamp_kill()
    in_time = await terminate(old)
    lines = old.log.read_text(errors="replace").splitlines()
    target.facts["ended_in_time"] = "yes" if in_time else "no"
    target.facts["cut_off"] = sum("cut off and lost" in line for line in lines)
    await target.processes.restart_app()


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
            holds=lambda row: row["lost"] == row["stuck"] == 0 and row["ended_in_time"] == "yes",
        ),
        "inprocess-journal": Expected(
            text="what is cut off runs in the next process; none is lost",
            holds=lambda row: row["lost"] == row["stuck"] == 0 and row["ended_in_time"] == "yes",
            drain_s=25.0,
        ),
    },
)
