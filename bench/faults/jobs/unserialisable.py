"""Fault 7: an argument that no serialiser knows: a function."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

REFUSED = Expected(
    text="refused at the caller; nothing is queued",
    holds=lambda row: row["status"] != 202 and row["refused"] == 1 and nothing_lost(row),  # noqa: PLR2004 - Accepted
)


async def strike(target: Target) -> None:
    """Hand one over."""
    target.facts["status"] = await target.client.fault_job("handle", "handle")


FAULT = Fault(
    number=7,
    slug="unserialisable",
    title="an argument that cannot be serialised",
    strike=strike,
    fault_jobs=True,
    rate=2.0,
    load_s=4.0,
    expected={
        "inprocess": Expected(
            text="works, by reference",
            holds=lambda row: row["status"] == 202 and nothing_lost(row),  # noqa: PLR2004 - Accepted
        ),
        "inprocess-journal": REFUSED,
        "celery-stock": REFUSED,
        "celery-hardened": REFUSED,
    },
)
