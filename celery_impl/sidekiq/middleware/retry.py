"""Retries as a middleware: a run that raises is sent again by Sidekiq's schedule, while retries are left.

1. The job is sent again with a delay; the old message is acknowledged only afterwards.
2. If it cannot be sent, the old message goes back to the queue and burns no retry.
A kill between a step and the acknowledgement makes the job run twice: at least once, as promised.
"""

from __future__ import annotations

from typing import Any

from celery.exceptions import Reject, TaskPredicate

from celery_impl.sidekiq.jobs.error_rules import DISCARD, KILL, check_rule, verdict
from celery_impl.sidekiq.middleware.base import CallNext, Middleware, RunningJob
from celery_impl.sidekiq.middleware.entry_points import past_overrides


class Retry(Middleware):
    """Retries a job that fails, or leaves its error to `Death` with a verdict."""

    def check(self, task: Any) -> None:
        """Raise VerdictError for a rule that cannot be used."""
        # Of the class: a function is no method here.
        check_rule(_of_class(task, "sidekiq_retry_in"), f"sidekiq_retry_in of {task.name}")

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        """Run the job; raise Retry where it runs again, Reject where it goes back, or its own error."""
        try:
            return call_next(job)
        except TaskPredicate:
            raise
        except Exception as error:
            if job.task.goes_to_dead_set:
                _decide(job, error)
            raise


def _decide(job: RunningJob, error: Exception) -> None:
    """Send the job again and raise Retry, or set its verdict."""
    task, retries = job.task, job.retries
    rules = (_of_class(task, "sidekiq_retry_in"), _of_class(task, "sidekiq_errors"))
    answer = verdict(error, retries, *rules) if retries < task.retry_limit else KILL
    if answer in (DISCARD, KILL):
        job.verdict = str(answer)
        return
    schedule = task.sidekiq_schedule or task.schedule
    try:
        wait_s = schedule.delay_s(retries) if answer is None else schedule.after_s(float(answer), retries)
        with past_overrides():
            again = task.retry(exc=error, countdown=wait_s, max_retries=task.retry_limit, throw=False)
    except Exception as unsent:  # noqa: BLE001 - whatever it is, the old message is all there is
        raise Reject(f"given back: {unsent}", requeue=True) from error
    raise again from error


def _of_class(task: Any, option: str) -> Any:
    return getattr(task if isinstance(task, type) else type(task), option)
