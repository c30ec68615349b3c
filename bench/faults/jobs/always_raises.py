"""Fault 2: the CRM refuses some users for ever; the others are fine."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, do_nothing
from bench.faults.target import Target

#: Retries after which the hardened queue gives up here; its default of 25 would take 20 days.
RETRY_LIMIT = "2"
#: Attempts after which the journal gives up here; its default of 25 would take 12 hours.
ATTEMPTS = "3"


async def prepare(target: Target) -> None:
    """Let every job of users whose number ends in 3 or 7 raise, however often it runs."""
    await target.client.set_service("crm", mode="status", status=503, only=r"[37]$")


FAULT = Fault(
    number=2,
    slug="always-raises",
    title="one user in five makes the CRM fail for ever",
    prepare=prepare,
    strike=do_nothing,
    rate=4.0,
    expected={
        "inprocess": Expected(
            text="capped, a record in the log; siblings are done",
            holds=lambda row: row["failed_visibly"] > 0 and row["lost"] == row["stuck"] == 0,
            drain_s=60.0,
        ),
        "inprocess-journal": Expected(
            text="in the journal's dead set; siblings are done",
            holds=lambda row: row["failed_visibly"] > 0 and row["lost"] == row["stuck"] == 0,
            note=f"{ATTEMPTS} attempts instead of 25",
            env={"QUEUE_OR_TASK_JOURNAL_ATTEMPTS": ATTEMPTS},
        ),
        "celery-stock": Expected(
            text="a line in the log; siblings are done",
            holds=lambda row: row["failed_visibly"] > 0 and row["lost"] == row["stuck"] == 0,
        ),
        "celery-hardened": Expected(
            text="in the dead set; siblings are done",
            holds=lambda row: row["failed_visibly"] > 0 and row["lost"] == row["stuck"] == 0,
            drain_s=75.0,
            note=f"{RETRY_LIMIT} retries instead of 25",
            env={"SIDEKIQ_RETRY_LIMIT": RETRY_LIMIT},
        ),
    },
)
