"""Death as a middleware: a job that is given up goes to the dead set, and the death handlers are called."""

from __future__ import annotations

from typing import Any

from celery.exceptions import TaskPredicate

from celery_impl.sidekiq.enqueue import death
from celery_impl.sidekiq.enqueue.given_back import given_back, written
from celery_impl.sidekiq.jobs.error_rules import DISCARD
from celery_impl.sidekiq.middleware.base import CallNext, Middleware, RunningJob


class Death(Middleware):
    """Gives up a job whose error reaches it; `Retry`, inside of it, catches what is retried.

    A job whose process was killed is given up by the worker's main process (`worker.request`).
    """

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        """Run the job and raise its error; raise Reject, so that it goes back, where it cannot be buried."""
        try:
            return call_next(job)
        except TaskPredicate:
            raise
        except Exception as error:
            try:
                death.end(job.task, job.request, error, discard=job.verdict == DISCARD)
            except Exception as unsent:  # noqa: BLE001 - whatever it is, the old message is all there is
                raise given_back(unsent) from error
            written()
            raise
