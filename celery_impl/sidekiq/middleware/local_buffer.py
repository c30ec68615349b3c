"""The local buffer as a middleware: stores jobs while the broker is away, sends them when it is back."""

from __future__ import annotations

import copy
from datetime import UTC, timedelta
from functools import partial
from typing import Any

from kombu.exceptions import OperationalError

from celery_impl.sidekiq.enqueue.buffer import BufferedJob
from celery_impl.sidekiq.jobs import job_repr
from celery_impl.sidekiq.middleware.base import CallNext, Middleware, OutgoingJob
from celery_impl.sidekiq.redis.deadline import within


class LocalBuffer(Middleware):
    """Stores jobs in this process while the broker is away, if the app has a buffer (`enqueue.buffer`).

    Not stored, so that they raise: what a running job sends, which is retried itself; what is sent through a
    producer of the caller's; unique jobs; and jobs that are sent by name alone.
    """

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        """Send the job, or store it; raise BufferFullError if the buffer is full."""
        buffer = None if job.task is None else job.task.sidekiq_buffer
        if buffer is None or not _may_be_buffered(job):
            return call_next(job)
        error: OperationalError | None = None
        if not len(buffer):
            try:
                return call_next(job)
            except OperationalError as failed:
                error = failed
        fixed = _as_of_now(job)
        name = job_repr.job(fixed.task, fixed.id, fixed.args, fixed.kwargs, fixed.options)
        buffer.add(BufferedJob(partial(_send, fixed, call_next), name), error)
        return job.task.AsyncResult(job.id)


def _may_be_buffered(job: OutgoingJob) -> bool:
    unique = job.task.sidekiq_unique is not None and not job.is_tested
    by_caller = job.options.get("producer") is not None
    return not unique and not by_caller and job.app.current_worker_task is None


def _send(job: OutgoingJob, call_next: CallNext) -> None:
    with within(job.task.sidekiq_within_s):
        call_next(job.copy())


def _as_of_now(job: OutgoingJob) -> OutgoingJob:
    """Return a copy that later changes do not reach, with moments in place of waits, which count from now."""
    fixed, now = job.copy(), job.app.now()
    fixed.args, fixed.kwargs = copy.deepcopy((tuple(job.args or ()), dict(job.kwargs or {})))
    if fixed.options.get("countdown"):
        fixed.options["eta"] = now + timedelta(seconds=float(fixed.options.pop("countdown")))
    if isinstance(fixed.options.get("expires"), int | float):
        fixed.options["expires"] = now.astimezone(UTC) + timedelta(seconds=fixed.options["expires"])
    return fixed
