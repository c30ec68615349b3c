"""Fault 48: memory runs out inside a job: first a MemoryError, then a kill as in fault 14."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.faults.jobs.always_raises import ATTEMPTS, RETRY_LIMIT
from bench.faults.processes import memory_limit
from bench.faults.spec import CheckInput, Events, Expected, Row, nothing_lost
from bench.faults.target import Target

#: The job that has a MemoryError, and the megabytes that its process may still take.
NAME, SPARE_MB = "exhaust", 100
#: Seconds that it has until it is given up: two retries on Sidekiq's schedule.
GIVEN_UP_S = 60.0


async def strike(target: Target) -> None:
    """Hand over a job that has a MemoryError; when it is given up, one that is killed for its memory.

    Note whether the worker outlives the first, all its children with it.
    """
    await target.client.fault_job("exhaust", NAME, mb=SPARE_MB)
    await target.until(_is_given_up, within_s=GIVEN_UP_S)
    await memory_limit.strike(target)
    if target.queued:
        target.facts["worker"] = "ended" if target.processes.parts["worker"].exit_code() else "lives"


def _is_given_up(events: Events) -> bool:
    return any(event["event"] == "failed" and NAME in str(event["job"]) for event in events)


def check(block: CheckInput) -> Mapping[str, Any]:
    """How many processes were killed, and whether the job with the MemoryError was given up."""
    given_up = _is_given_up(block.events)
    return {**block.facts, "memory_error": "given up" if given_up else "not given up"}


def _fails_alone(row: Row) -> bool:
    return nothing_lost(row) and row["failed_visibly"] > 0 and row["worker"] == "lives"


FAULT = replace(
    memory_limit.FAULT,
    number=48,
    slug="memory-runs-out",
    title="memory runs out inside a job",
    strike=strike,
    kills=False,
    outlasts_strike=True,
    check=check,
    expected={
        "inprocess": Expected(
            text="the MemoryError fails that job alone; the kill ends the app and its jobs",
            holds=lambda row: (
                row["app_died"] and row["failed_visibly"] > 0 and row["lost"] + row["unknown"] > 0
            ),
            drain_s=10.0,
        ),
        "inprocess-journal": Expected(
            text="the MemoryError fails that job alone; the app dies, and its jobs run in the next process",
            holds=lambda row: nothing_lost(row) and row["app_died"] and row["failed_visibly"] > 0,
            drain_s=40.0,
            note=f"{ATTEMPTS} attempts instead of 25",
            env={"QUEUE_OR_TASK_JOURNAL_ATTEMPTS": ATTEMPTS},
        ),
        "celery-stock": Expected(
            text="each fails alone, with a line in the log; no slot is lost",
            holds=_fails_alone,
        ),
        "celery-hardened": Expected(
            text="each is tried again, and ends in the dead set; no slot is lost",
            holds=_fails_alone,
            drain_s=75.0,
            note=f"{RETRY_LIMIT} retries instead of 25",
            env={"SIDEKIQ_RETRY_LIMIT": RETRY_LIMIT},
        ),
    },
)
