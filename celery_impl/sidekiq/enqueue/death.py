"""Gives up a job: calls its task's hook, puts it into the dead set and calls the death handlers.

1. Call the task's `sidekiq_retries_exhausted`. If it returns "discard", leave out step 2.
2. Put the job into the dead set with its message as it would be queued. The message is made by sending the
   job into a channel that keeps it, so Celery's publish signals are sent, as for a retry; middleware is not
   called.
3. Send `job_buried` and call the app's death handlers.
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

from celery_impl.sidekiq.jobs.entry_format import FAILURE_HEADER, VERSION, DeadJob, failure
from celery_impl.sidekiq.jobs.error_rules import DISCARD
from celery_impl.sidekiq.memory.store import memory_store
from celery_impl.sidekiq.redis.deadline import within

#: Called with a job that is given up, and its error.
DeathHandler = Callable[[DeadJob, BaseException], object]

#: Sent when a job has gone to the dead set, in the process that put it there: sender (the task),
#: task_id, exception, args, kwargs.
job_buried = Signal(name="job_buried", providing_args=["task_id", "exception", "args", "kwargs"])

logger = logging.getLogger(__name__)

#: Whether this thread makes the message of a dead job, which passes no middleware once more.
BURYING: Final = ContextVar("sidekiq_burying", default=False)


def end(task: Any, request: Any, error: BaseException, *, discard: bool = False) -> None:
    """Give up a job, or with `discard` and for a task without retries only tell the death handlers."""
    if task.goes_to_dead_set and not discard:
        give_up(task, request, error)
    else:
        tell(task, dead_job(task, request, error), error)


def give_up(task: Any, request: Any, error: BaseException) -> None:
    """Bury the job of `request` and call the handlers; raise what the broker raises."""
    job = dead_job(task, request, error)
    exhausted = type(task).sidekiq_retries_exhausted
    if exhausted is None or _called(exhausted, job, error) != DISCARD:
        _bury(task, request, job)
        known = {"task_id": request.id, "exception": error, "args": request.args, "kwargs": request.kwargs}
        job_buried.send(sender=task, **known)
    tell(task, job, error)


def tell(task: Any, job: DeadJob, error: BaseException) -> None:
    """Call the app's death handlers."""
    for handler in task.sidekiq_death_handlers:
        _called(handler, job, error)


def dead_job(task: Any, request: Any, error: BaseException) -> DeadJob:
    """Return the job of `request` as a DeadJob, without its message."""
    delivery = getattr(request, "delivery_info", None) or {}
    now = time.time()
    before = (getattr(request, "headers", None) or {}).get(FAILURE_HEADER)
    known = failure(error, now=now, before=before)
    del known["v"]
    return DeadJob(
        id=request.id,
        task=task.name or "",
        args=list(request.args or ()),
        kwargs=dict(request.kwargs or {}),
        queue=delivery.get("routing_key") or task.app.conf.task_default_queue,
        retries=getattr(request, "retries", 0) or 0,
        buried_at=now,
        **known,
    )


def _bury(task: Any, request: Any, job: DeadJob) -> None:
    headers = {**(request.headers or {}), FAILURE_HEADER: _header(job)}
    # What expired meanwhile would be dropped when a person retries it.
    again = task.signature_from_request(request, headers=headers, retries=job.retries, expires=None)
    kept = memory_store(task.app)
    with task.app.producer_or_acquire() if kept is None else kept.producer() as producer:
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


def _header(job: DeadJob) -> dict[str, Any]:
    kept = ("error_class", "error_message", "failed_at", "retried_at")
    return {"v": VERSION, **{name: getattr(job, name) for name in kept}}


def _called(handler: Callable[..., Any], job: DeadJob, error: BaseException) -> Any:
    try:
        return handler(job, error)
    except Exception:  # the job is what counts
        logger.exception("a death handler failed for job %s", job.id)
        return None
