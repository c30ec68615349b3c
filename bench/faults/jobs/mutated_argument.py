"""Fault 9: the caller changes the argument after it handed the job over. The CRM hears which it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.app.fault_jobs.endpoint import CHANGED
from bench.faults.spec import Expected, Fault, Seen
from bench.stack.stack import Stack


async def strike(stack: Stack) -> None:
    """Hand one over."""
    await stack.odd("mutable", "mutable")


def look(seen: Seen) -> Mapping[str, Any]:
    """Which content the job saw: changed, snapshot, or none where it did not run."""
    told = [str(event["job"]) for event in seen.events if event["event"] == "effect"]
    if any(CHANGED in job for job in told):
        return {"content": "changed"}
    return {"content": "snapshot" if any("-odd-mutable/" in job for job in told) else "none"}


SNAPSHOT = Expected(text="a snapshot", holds=lambda row: row["content"] == "snapshot")

FAULT = Fault(
    number=9,
    slug="mutated-argument",
    title="an argument changed after the hand-over",
    strike=strike,
    look=look,
    odd_jobs=True,
    rate=2.0,
    load_s=4.0,
    expected={
        "inprocess": Expected(
            text="the job sees the change",
            holds=lambda row: row["content"] == "changed",
            drain_s=4.0,
            note="the job told the CRM the changed key, so its own counts as lost and that as unexpected",
        ),
        "celery-stock": SNAPSHOT,
        "celery-hardened": SNAPSHOT,
    },
)
