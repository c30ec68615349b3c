"""Fault 36: a transaction hands a job over and is rolled back."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault
from bench.faults.target import Target


async def strike(target: Target) -> None:
    """Insert, hand over, roll back."""
    await target.client.fault_job("plain", "rolled", rollback=True)


GHOST = Expected(text="the job runs for a row that is not there", holds=lambda row: row["ghost"] == 1)

FAULT = Fault(
    number=36,
    slug="rolled-back",
    title="the transaction is rolled back after the hand-over",
    strike=strike,
    fault_jobs=True,
    rate=2.0,
    load_s=4.0,
    expected={
        "inprocess": GHOST,
        "inprocess-journal": Expected(
            text="written in the transaction, so never", holds=lambda row: row["ghost"] == 0
        ),
        "celery-stock": GHOST,
        "celery-hardened": Expected(
            text="handed over at the commit, so never", holds=lambda row: row["ghost"] == 0
        ),
    },
)
