"""Fault 9: the caller changes the argument after it handed the job over. The CRM hears which it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.faults.spec import CheckInput, Expected, Fault
from bench.faults.target import Target
from bench.ledger.job_names import CHANGED, MARK


async def strike(target: Target) -> None:
    """Hand one over."""
    await target.client.fault_job("mutable", "mutable")


def check(block: CheckInput) -> Mapping[str, Any]:
    """Which content the job saw: changed, snapshot, or none where it did not run."""
    told = [str(event["job"]) for event in block.events if event["event"] == "effect"]
    if any(CHANGED in job for job in told):
        return {"content": "changed"}
    return {"content": "snapshot" if any(f"{MARK}mutable/" in job for job in told) else "none"}


SNAPSHOT = Expected(text="a snapshot", holds=lambda row: row["content"] == "snapshot")

FAULT = Fault(
    number=9,
    slug="mutated-argument",
    title="an argument changed after the hand-over",
    strike=strike,
    check=check,
    fault_jobs=True,
    rate=2.0,
    load_s=4.0,
    expected={
        "inprocess": Expected(
            text="the job sees the change",
            holds=lambda row: row["content"] == "changed",
            drain_s=4.0,
            note="the job wrote to the CRM under the changed key: its own key counts as lost, "
            "the changed one as unexpected",
        ),
        "inprocess-journal": SNAPSHOT,
        "celery-stock": SNAPSHOT,
        "celery-hardened": SNAPSHOT,
    },
)
