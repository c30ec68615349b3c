"""Bounded time as a middleware: `delay` returns or raises within `enqueue_within_s`."""

from __future__ import annotations

from typing import Any

from celery_impl.sidekiq.enqueue import after_run
from celery_impl.sidekiq.middleware.base import CallNext, Middleware, OutgoingJob
from celery_impl.sidekiq.redis.deadline import within


class Deadline(Middleware):
    """Bounds all that the sending of a job asks of the broker, by the task's `sidekiq_within_s` seconds.

    Celery's own repeats (`task_publish_retry`) are off, for they would make two jobs of one; `retry=True`
    asks for them, within the same time. Jobs that are sent by name alone go as Celery has it.

    The bound is for callers. What a worker sends after a run waits for the broker (`enqueue.after_run`).
    """

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        """Send in bounded time; raise kombu's OperationalError where the broker does not take the job."""
        if after_run.is_follow_up():
            job.options["retry"] = False
            result = after_run.patiently(lambda: call_next(job.copy()), job)
            after_run.sent(job.id)
            return result
        if job.task is None:
            return call_next(job)
        job.options.setdefault("retry", False)
        with within(job.task.sidekiq_within_s):
            return call_next(job)
