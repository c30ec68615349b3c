"""What is written when a job is moved: the message for its queue, or the entry of the dead set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from celery_impl.sidekiq.api.job import Job
from celery_impl.sidekiq.jobs.entry_format import DeadJob, UnreadableError

#: The error class of a job that a person has killed.
KILLED: Final = "Killed"


def queue_again(jobs: Sequence[Job], now: float) -> list[tuple[bytes, str, str]]:
    """Return what `Moves.queue` takes for each job; raise UnreadableError for one that cannot be queued."""
    return [(job.member, job.queue_key, _stamped(_message(job), now)) for job in jobs]


def to_dead_jobs(jobs: Sequence[Job], now: float) -> list[tuple[bytes, str]]:
    """Return what `Moves.bury` takes for each job; raise UnreadableError for one that cannot be read."""
    return [(job.member, _dead_job(job, now).dumps()) for job in jobs]


def _message(job: Job) -> str:
    if job.problem is not None:
        raise UnreadableError(f"job {job.id} cannot be read: {job.problem}")
    if job.message is None:
        raise UnreadableError(
            f"job {job.id} was buried without its message: send it anew, then delete it here"
        )
    return job.message


def _stamped(message: str, now: float) -> str:
    """Return the message with the time at which it comes to its queue; return anything else as it is."""
    try:
        known = json.loads(message)
        known["properties"]["enqueued_at"] = now
    except (ValueError, TypeError, KeyError, RecursionError):
        return message
    return json.dumps(known, separators=(",", ":"))


def _dead_job(job: Job, now: float) -> DeadJob:
    return DeadJob(
        id=job.id,
        task=job.task,
        args=job.args or [],
        kwargs=job.kwargs or {},
        queue=job.queue,
        retries=job.count,
        error_class=job.error_class or KILLED,
        error_message=job.error_message or "a person moved it to the dead set",
        failed_at=job.failed_at or now,
        retried_at=job.retried_at,
        buried_at=now,
        queue_key=job.queue_key,
        message=_message(job),
    )
