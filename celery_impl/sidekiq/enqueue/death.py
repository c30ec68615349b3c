"""What happens to a job that is given up: its task is asked, it goes to the dead set, handlers hear of it.

1. The task's `sidekiq_retries_exhausted`; where it answers "discard", step 2 is left out.
2. The job goes to the dead set with its message as it would be queued, which is made by sending it into a
   channel that keeps it (so Celery's publish signals are sent, as for a retry).
3. The app's death handlers and `job_buried`.
A kill between the steps repeats them; an error of a handler is logged and stops nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final

from celery.utils.dispatch import Signal

from celery_impl.sidekiq.jobs.entry_format import FAILURE_HEADER, VERSION, Grave, failure
from celery_impl.sidekiq.jobs.error_rules import DISCARD
from celery_impl.sidekiq.redis.deadline import within

#: Hears of a job that is given up, and of its error.
DeathHandler = Callable[[Grave, BaseException], object]

#: Sent when a job has gone to the dead set, in the process that put it there: sender (the task),
#: task_id, exception, args, kwargs.
job_buried = Signal(name="job_buried", providing_args=["task_id", "exception", "args", "kwargs"])

logger = logging.getLogger(__name__)

#: Whether this thread makes the message of a dead job, which passes no middleware once more.
BURYING: Final = ContextVar("sidekiq_burying", default=False)


def give_up(task: Any, request: Any, error: BaseException) -> None:
    """Bury the job of `request` and tell who wants to know; raise what the broker raises."""
    job = grave(task, request, error)
    exhausted = type(task).sidekiq_retries_exhausted
    if exhausted is None or _called(exhausted, job, error) != DISCARD:
        _bury(task, request, job)
        known = {"task_id": request.id, "exception": error, "args": request.args, "kwargs": request.kwargs}
        job_buried.send(sender=task, **known)
    tell(task, job, error)


def tell(task: Any, job: Grave, error: BaseException) -> None:
    """Call the app's death handlers."""
    for handler in task.sidekiq_death_handlers:
        _called(handler, job, error)


def grave(task: Any, request: Any, error: BaseException) -> Grave:
    """What is known of the job of `request`, without its message."""
    delivery = getattr(request, "delivery_info", None) or {}
    now = time.time()
    before = (getattr(request, "headers", None) or {}).get(FAILURE_HEADER)
    known = failure(error, now=now, before=before)
    del known["v"]
    return Grave(
        id=request.id,
        task=task.name or "",
        args=list(request.args or ()),
        kwargs=dict(request.kwargs or {}),
        queue=delivery.get("routing_key") or task.app.conf.task_default_queue,
        retries=getattr(request, "retries", 0) or 0,
        buried_at=now,
        **known,
    )


def _bury(task: Any, request: Any, job: Grave) -> None:
    headers = {**(request.headers or {}), FAILURE_HEADER: _header(job)}
    # What expired meanwhile would be dropped when a person retries it.
    again = task.signature_from_request(request, headers=headers, retries=job.retries, expires=None)
    with task.app.producer_or_acquire() as producer:
        channel = producer.channel
        with channel.captured() as caught, within(task.sidekiq_within_s):
            token = BURYING.set(True)
            try:
                # Not retried: a new connection has another channel, which would send it.
                again.apply_async(producer=producer, retry=False, add_to_parent=False)
            finally:
                BURYING.reset(token)
        key, message = caught[0] if caught else ("", None)
        channel.sets.bury(replace(job, queue_key=key, message=message))


def _header(job: Grave) -> dict[str, Any]:
    kept = ("error_class", "error_message", "failed_at", "retried_at")
    return {"v": VERSION, **{name: getattr(job, name) for name in kept}}


def _called(handler: Callable[..., Any], job: Grave, error: BaseException) -> Any:
    try:
        return handler(job, error)
    except Exception:  # the job is what counts
        logger.exception("a handler failed that was told of the end of job %s", job.id)
        return None
