"""A job in the worker's main process, which acts when the job's process was killed.

A killed process cannot retry or bury its own job, so its parent does. A job over the hard time limit goes to
the dead set; a job whose process was lost goes back to the queue, until it has killed three. A process that
ends because its worker was told to stop was not killed by its job: systemd and others send TERM to all
processes of a service.

Celery 5.7 acknowledges a job whose process was lost after it had stored its result. The part of a chord is
counted only then, and the last one sends the callback: such a part runs again where a lost job does.

Celery ends the whole worker where a job fails with a MemoryError, and does not acknowledge the job. Here it
fails as any other.

Celery acknowledges a job by its event loop, which stands still while the worker connects again. A job that
ends meanwhile in a thread of the worker is told to its lease at once, or it would be given back as one that
nobody runs.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from celery.exceptions import Ignore, InvalidTaskError, Reject, TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request

from celery_impl.sidekiq.enqueue.death import give_up
from celery_impl.sidekiq.enqueue.task import SidekiqTask
from celery_impl.sidekiq.lease.channel import Channel
from celery_impl.sidekiq.lease.holder import ending, stopping
from celery_impl.sidekiq.limits import unique
from celery_impl.sidekiq.memory.store import memory_store
from celery_impl.sidekiq.redis.transport import ETA_PROPERTY
from celery_impl.sidekiq.worker import heartbeat

#: Processes that one job may kill before it goes to the dead set.
POISON_DEATHS: Final = 3
#: What the positional arguments of a job are: a tuple of classes, which is twice as quick to ask as a union.
ARGUMENTS: Final = (list, tuple)

logger = logging.getLogger(__name__)


class OutOfMemoryError(RuntimeError):
    """A job had a MemoryError: it fails, and its worker goes on."""


class SidekiqRequest(Request):
    """A job in the worker's main process."""

    task: SidekiqTask
    # Private to Celery, pinned by a test.
    _context: Any
    _eta: Any
    _decoded: bool
    _payload: Any
    _body: Any
    _content_type: str | None
    _content_encoding: str | None
    _request_dict: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        """Celery derives a faster class for each task, with an `on_success` of its own."""
        super().__init_subclass__(**options)
        if "on_success" in vars(cls):
            cls.on_success = _until_dealt_with(cls.on_success)  # type: ignore[method-assign] # the same one

    def __init__(self, message: Any, **options: Any) -> None:
        """Read a message; raise InvalidTaskError where a part is missing or of the wrong kind."""
        try:
            super().__init__(message, **options)
            if not (isinstance(self.args, ARGUMENTS) and isinstance(self.kwargs, dict)):
                raise InvalidTaskError("its arguments are no list and mapping")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidTaskError(f"no job of Celery: {type(error).__name__}: {error}") from error
        channel = getattr(message, "channel", None)
        if getattr(channel, "runs_jobs_in_turn", False) and not self._decoded:
            # The tracer is called in this thread and would decode the body once more.
            self._body, self._content_type, self._content_encoding = self._payload, None, None
        if self._eta is None:  # it has waited in the sets; the job sees it all the same
            self._request_dict["eta"] = (self._request_dict.get("properties") or {}).get(ETA_PROPERTY)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's signature
        """Bury a job that the hard time limit has killed, unless `on_failure` has dealt with it."""
        if not soft and not self._goes_back_at_timeout():
            self._bury(TimeLimitExceeded(timeout))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Bury a job that has killed its third process; otherwise Celery's rules hold.

        With `acks_on_failure_or_timeout=False` a job over its hard time limit goes back to its queue; it has
        killed a process as well.
        """
        error = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps it with its traceback
        if not isinstance(error, Ignore | Reject):
            heartbeat.count_failure()
        lost = isinstance(error, WorkerLostError) and not stopping()
        goes_back = isinstance(error, TimeLimitExceeded) and self._goes_back_at_timeout()
        if (lost or goes_back) and self._deaths() >= POISON_DEATHS:
            self._bury(error)
            self.acknowledge()
        elif goes_back:  # Celery before 5.6 drops it
            self.reject(requeue=True)
        elif isinstance(error, MemoryError):
            exc_info = copy.copy(exc_info)
            exc_info.exception = OutOfMemoryError(f"MemoryError: {error}")
        return super().on_failure(exc_info, *args, **kwargs)

    def _success_was_stored(self) -> Any:
        """As Celery's, but a part of a chord that may not have been counted yet is not done."""
        task: Any = self.task
        if self.chord and task.acks_late and task.reject_on_worker_lost:
            return False
        return super()._success_was_stored()  # type: ignore[misc] # Celery 5.7's, pinned by a test

    def _goes_back_at_timeout(self) -> bool:
        task: Any = self.task  # Celery 5.7 has an option for time-outs alone
        return task.acks_late and not getattr(task, "acks_on_timeout", task.acks_on_failure_or_timeout)

    def acknowledge(self) -> None:
        """As Celery's, and to the lease: at once, or with the next fetch where that comes soon."""
        self._tell_lease()
        super().acknowledge()

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's
        """As Celery's; what is dropped is told to the lease as what is acknowledged."""
        if not requeue:
            self._tell_lease()
        super().reject(requeue=requeue)

    def _tell_lease(self) -> None:
        channel = self.message.channel
        if not self.acknowledged and isinstance(channel, Channel):
            # Before the run it must not wait: a job that is acknowledged early never runs twice.
            channel.acknowledge(self.message.delivery_tag, may_wait=bool(self.task.acks_late))

    def _deaths(self) -> int:
        kept = memory_store(self.task.app)
        if kept is not None:
            return kept.count_death(self.id)
        try:
            with self.task.app.producer_or_acquire() as producer:
                return int(producer.channel.sets.count_death(self.id))
        except Exception:  # not counted is run once more, which is the promise
            logger.warning("could not count the death of a process by job %s", self.id, exc_info=True)
            return 0

    def _bury(self, error: BaseException) -> None:
        if not self.task.goes_to_dead_set:
            unique.ended(self.task, self._context)
            return
        try:
            give_up(self.task, self._context, error)
        except Exception:  # Celery acknowledges next, so give it back before: it runs once more
            logger.warning("could not bury job %s", self.id, exc_info=True)
            self.reject(requeue=True)


def _until_dealt_with(on_success: Callable[..., Any]) -> Callable[..., Any]:
    """Let the job count as running until this has returned, whatever the job's end was."""

    @wraps(on_success)
    def call(request: Any, *args: Any, **kwargs: Any) -> Any:
        with ending(request.message.delivery_tag):
            return on_success(request, *args, **kwargs)

    return call
