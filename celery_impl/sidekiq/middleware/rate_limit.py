"""Rate limits as a middleware: a job runs within the limits of its task, or is put off."""

from __future__ import annotations

import math
from typing import Any

from celery.exceptions import Retry

from celery_impl.sidekiq.enqueue.given_back import given_back
from celery_impl.sidekiq.jobs.strict_arguments import as_they_came
from celery_impl.sidekiq.limits.rate_limit import (
    PUT_OFF_HEADER,
    PUT_OFF_LIMIT,
    OverLimitError,
    put_off_s,
    within_all,
)
from celery_impl.sidekiq.middleware.base import CallNext, Middleware, RunningJob
from celery_impl.sidekiq.middleware.entry_points import past_overrides


class RateLimit(Middleware):
    """Runs a job within all of `sidekiq_limits`, or sends it anew with a delay; see `limits.rate_limit`."""

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        """Run within the limits; raise Retry for a job that is put off, Reject where that cannot be done."""
        limits = job.task.sidekiq_limits
        if not limits or job.is_tested:
            return call_next(job)
        try:
            with within_all(limits):
                return call_next(job)
        except OverLimitError as over:
            before = int(job.headers.get(PUT_OFF_HEADER) or 0)
            if before >= PUT_OFF_LIMIT:
                raise
            raise _put_off(job, over, before) from over


def _put_off(job: RunningJob, over: OverLimitError, before: int) -> BaseException:
    """Send the job anew with the retries that it has; Reject where the broker does not take it."""
    request = job.request
    wait_s = put_off_s(over, before)
    try:
        again = job.task.signature_from_request(
            request,
            headers={**job.headers, PUT_OFF_HEADER: before + 1},
            retries=request.retries,
            countdown=wait_s,
        )
        with as_they_came(), past_overrides():
            again.apply_async(add_to_parent=False)
    except Exception as unsent:  # noqa: BLE001 - whatever it is, the old message is all there is
        return given_back(unsent)
    when: Any = math.ceil(wait_s)
    return Retry(f"put off: {over}", over, when)
