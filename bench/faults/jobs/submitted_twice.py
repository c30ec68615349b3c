"""Fault 26: the caller hands the same job over twice."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault
from bench.faults.target import Target


async def strike(target: Target) -> None:
    """Hand one over twice; as a unique job where the side has those."""
    target.facts["status"] = await target.client.fault_job(
        "plain", "twice", times=2, seconds=0.5, **{"as": "unique"}
    )


TWICE = Expected(text="a second run: it has no key", holds=lambda row: row["duplicated"] == 1)

FAULT = Fault(
    number=26,
    slug="submitted-twice",
    title="the caller submits twice",
    strike=strike,
    fault_jobs=True,
    rate=2.0,
    load_s=4.0,
    expected={
        "inprocess": TWICE,
        "inprocess-journal": Expected(
            text="a key refuses the second visibly",
            holds=lambda row: row["duplicated"] == 0 and row["status"] == 503,  # noqa: PLR2004 - refused
        ),
        "celery-stock": TWICE,
        "celery-hardened": Expected(
            text="a unique job refuses the second visibly",
            holds=lambda row: row["duplicated"] == 0 and row["status"] == 503,  # noqa: PLR2004 - refused
        ),
    },
)
