"""Failures as a middleware: each failed run is seen, also of a job that is retried."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

from billiard.einfo import ExceptionInfo
from celery import signals
from celery.exceptions import TaskPredicate

from celery_impl.sidekiq.middleware.base import CallNext, Middleware, MiddlewareError, RunningJob

#: Called with the error of a run and its job.
ErrorHandler = Callable[[BaseException, RunningJob], object]
#: Which failed runs of a job Celery's signal `task_failure` is sent for.
Report = Literal["each", "last"]

logger = logging.getLogger(__name__)


class Failures(Middleware):
    """Tells of each failed run: error handlers, as Sidekiq's, and receivers of Celery's `task_failure`.

    Celery sends `task_failure` when a job is given up, which for a retried job is 20 days later. With
    `report="each"` it is sent for each run that is to be retried too. A retry that the task asks for itself
    (`self.retry`, `autoretry_for`) is no failure, as in Celery. An error of a handler is logged.
    """

    def __init__(self, handlers: Sequence[ErrorHandler] = (), *, report: Report = "each") -> None:
        if report not in ("each", "last"):
            raise MiddlewareError(f"report_failures is {report!r}: expected 'each' or 'last'")
        self._handlers = tuple(handlers)
        self._report = report

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        """Run the job; raise what it raises."""
        try:
            return call_next(job)
        except TaskPredicate:
            if job.failure is not None:
                self._tell(job, job.failure)
                if self._report == "each":
                    _send_signal(job, job.failure)
            raise
        except Exception as error:
            self._tell(job, error)
            raise

    def _tell(self, job: RunningJob, error: BaseException) -> None:
        for handler in self._handlers:
            try:
                handler(error, job)
            except Exception:  # the job is what counts
                logger.exception("an error handler failed for job %s", job.id)


def _send_signal(job: RunningJob, error: BaseException) -> None:
    known = {"task_id": job.id, "exception": error, "args": job.request.args, "kwargs": job.request.kwargs}
    einfo = ExceptionInfo((type(error), error, error.__traceback__))
    signals.task_failure.send(sender=job.task, traceback=error.__traceback__, einfo=einfo, **known)
