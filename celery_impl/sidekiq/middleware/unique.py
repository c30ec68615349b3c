"""Unique jobs as a middleware: the sender takes a place, the worker renews it and lets it go."""

from __future__ import annotations

from typing import Any

from celery.exceptions import Ignore, Reject

from celery_impl.sidekiq.limits import unique
from celery_impl.sidekiq.middleware.base import CallNext, Middleware, OutgoingJob, RunningJob
from celery_impl.sidekiq.redis.unique_lua import HEADER


class Unique(Middleware):
    """Keeps a second job of a task with the same arguments out; see `limits.unique` for the steps."""

    def check(self, task: Any) -> None:
        """Raise UniqueOptionError for options that cannot be used."""
        unique.check(task)

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        """Take the job's place and send it; return a Duplicate or raise NotUnique where it is taken."""
        task = job.task
        if task is None or task.sidekiq_unique is None or job.is_tested:
            return call_next(job)
        mark, holder = unique.take(task, job.id, job.args, job.kwargs, job.options)
        again = job.chose_id and job.id == task.request.id  # a retry: it was taken in once already
        if holder is not None and not again:
            if job.chose_id or task.sidekiq_unique_conflict == "raise":
                raise unique.NotUnique(job.name, holder)
            return unique.Duplicate(holder, app=job.app)
        job.headers[HEADER] = f"{mark}:{job.id}"
        try:
            return call_next(job)
        except BaseException:
            if not again:
                unique.forget(task, job.id, job.args, job.kwargs)
            raise

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        """Renew the place, or free it where that is until the start; free it when the job has ended."""
        if job.task.sidekiq_unique is None or job.is_tested:
            return call_next(job)
        unique.begun(job.task, job.request)
        try:
            result = call_next(job)
        except (Ignore, Reject) as error:
            if not getattr(error, "requeue", False):
                unique.ended(job.task, job.request)
            raise
        unique.ended(job.task, job.request)
        return result
