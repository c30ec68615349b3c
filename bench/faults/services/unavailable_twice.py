"""Fault 1: the CRM answers 503 twice to each user, then 200."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, do_nothing
from bench.faults.target import Target

#: Answers of 503 before a user's contact is made.
TIMES = 2


async def prepare(target: Target) -> None:
    """Let the CRM fail from the start: there is no moment at which it strikes."""
    await target.client.set_service("crm", mode="status", status=503, times=TIMES)


FAULT = Fault(
    number=1,
    slug="unavailable-twice",
    title="the CRM answers 503 twice, then 200",
    prepare=prepare,
    strike=do_nothing,
    rate=4.0,
    expected={
        "inprocess": Expected(
            text="retried, done once, late",
            holds=lambda row: row["done_once"] == row["accepted"] and row["lost"] == 0,
        ),
        "inprocess-journal": Expected(
            text="retried, done once, late",
            holds=lambda row: row["done_once"] == row["accepted"] and row["lost"] == 0,
        ),
        "celery-stock": Expected(
            text="no retry: failed, with a line in the log",
            holds=lambda row: row["failed_visibly"] > 0 and row["lost"] == 0,
        ),
        "celery-hardened": Expected(
            text="retried on Sidekiq's schedule, done once, late",
            holds=lambda row: row["done_once"] == row["accepted"] and row["lost"] == 0,
            drain_s=75.0,
        ),
        "inline": Expected(
            text="the user sees the error and tries again",
            holds=lambda row: row["refused"] > 0 and row["lost"] == 0,
        ),
    },
)
