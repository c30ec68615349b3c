"""Fault 5: the first service does its work, the second answers 503 twice.

Does the retry of the second piece repeat the first one? The checker counts effects at the CRM.
"""

from __future__ import annotations

from bench.faults.services.unavailable_twice import TIMES
from bench.faults.spec import Expected, Fault, do_nothing
from bench.faults.target import Target


async def prepare(target: Target) -> None:
    """Let the fulfilment service fail twice for each user."""
    await target.client.set_service("fulfillment", mode="status", status=503, times=TIMES)


RETRIED = Expected(
    text="the second is retried and done; the first is not repeated",
    holds=lambda row: row["duplicated"] == 0 and row["done_once"] == row["accepted"],
    drain_s=75.0,
)

FAULT = Fault(
    number=5,
    slug="second-fails",
    title="the first service is fine, the second fails twice",
    prepare=prepare,
    strike=do_nothing,
    rate=4.0,
    expected={
        "inprocess": RETRIED,
        "inprocess-journal": RETRIED,
        "celery-stock": Expected(
            text="the second fails with a line in the log; the first is not repeated",
            holds=lambda row: row["duplicated"] == 0 and row["failed_visibly"] > 0 and row["lost"] == 0,
        ),
        "celery-hardened": RETRIED,
    },
)
