"""Fault 30: a job that crashes at once, each time it is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.faults.jobs.always_raises import ATTEMPTS, RETRY_LIMIT
from bench.faults.spec import CheckInput, Expected, Fault, nothing_lost
from bench.faults.target import Target
from bench.ledger.job_names import MARK

#: Runs of one job above which it counts as uncapped.
SPIN = 20


async def strike(target: Target) -> None:
    """Hand one over."""
    await target.client.fault_job("crash", "crash")


def check(block: CheckInput) -> Mapping[str, Any]:
    """How often it was run."""
    starts = [event for event in block.events if event["event"] == "start"]
    return {"runs": sum(f"{MARK}crash/" in str(event.get("job")) for event in starts)}


FAULT = Fault(
    number=30,
    slug="crash-loop",
    title="a job that crashes at once, for ever",
    strike=strike,
    outlasts_strike=True,
    check=check,
    fault_jobs=True,
    rate=2.0,
    expected={
        "inprocess": Expected(
            text="a restart budget, then escalation; never a spin",
            holds=lambda row: nothing_lost(row) and 0 < row["runs"] <= SPIN and not row["app_died"],
            drain_s=20.0,
        ),
        "inprocess-journal": Expected(
            text="capped, then in the journal's dead set",
            holds=lambda row: nothing_lost(row) and 0 < row["runs"] <= SPIN and not row["app_died"],
            note=f"{ATTEMPTS} attempts instead of 25",
            env={"QUEUE_OR_TASK_JOURNAL_ATTEMPTS": ATTEMPTS},
        ),
        "celery-stock": Expected(
            text="a loop of redeliveries: nothing caps it", holds=lambda row: row["runs"] > SPIN
        ),
        "celery-hardened": Expected(
            text="capped, then in the dead set",
            holds=lambda row: nothing_lost(row) and 0 < row["runs"] <= SPIN,
            drain_s=75.0,
            note=f"{RETRY_LIMIT} retries instead of 25",
            env={"SIDEKIQ_RETRY_LIMIT": RETRY_LIMIT},
        ),
    },
)
