"""Retries as a middleware: a run that raises is sent again by Sidekiq's schedule, while retries are left.

1. The job is sent again with a delay; the old message is acknowledged only afterwards.
2. If it cannot be sent, the old message goes back to the queue and burns no retry.
A kill between a step and the acknowledgement makes the job run twice: at least once, as promised.
"""

from __future__ import annotations

from typing import Any

from celery import exceptions
from celery.exceptions import TaskPredicate

from celery_impl.sidekiq.enqueue.given_back import given_back, written
from celery_impl.sidekiq.jobs import celery_retries
from celery_impl.sidekiq.jobs.error_rules import DISCARD, KILL, Verdict, check_rule, verdict
from celery_impl.sidekiq.jobs.strict_arguments import as_they_came
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
    answer = _answer(job, error)
    if answer in (DISCARD, KILL):
        job.verdict = str(answer)
        return
    schedule = job.task.sidekiq_schedule or job.task.schedule
    job.failure = error
    try:
        wait_s = (
            schedule.delay_s(job.retries) if answer is None else schedule.after_s(float(answer), job.retries)
        )
        again = _send_again(job, error, wait_s)
    except Exception as unsent:  # noqa: BLE001 - whatever it is, the old message is all there is
        raise given_back(unsent) from error
    written()
    raise again from error


def _answer(job: RunningJob, error: Exception) -> Verdict | None:
    task, request = job.task, vars(job.request)
    words = celery_retries.outcome(task, request, error)
    if celery_retries.USED_UP in request or job.retries >= task.retry_limit:
        return DISCARD if words == DISCARD else KILL
    rules = (_of_class(task, "sidekiq_retry_in"), _of_class(task, "sidekiq_errors"))
    answer = verdict(error, job.retries, *rules)
    return words if answer is None else answer  # type: ignore[return-value] # one of the verdicts


def _send_again(job: RunningJob, error: Exception, wait_s: float) -> exceptions.Retry:
    """Send the job with one retry more.

    Not by `task.retry`: what that is given as `max_retries` counts for the next runs of the task as well.
    """
    again = job.task.signature_from_request(
        job.request,
        headers=job.task.failed_headers(error),
        retries=job.retries + 1,
        countdown=wait_s,
    )
    with as_they_came(), past_overrides():
        again.apply_async()
    when: Any = wait_s
    return exceptions.Retry(exc=error, when=when, sig=again)


def _of_class(task: Any, option: str) -> Any:
    return getattr(task if isinstance(task, type) else type(task), option)
