"""The options of a task, with their defaults, and what a task does with them beside the middleware."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Final

from celery import Task
from celery.exceptions import Reject, TaskPredicate
from kombu.exceptions import EncodeError

from celery_impl.sidekiq.enqueue import after_run, death
from celery_impl.sidekiq.enqueue.buffer import Buffer
from celery_impl.sidekiq.enqueue.given_back import given_back
from celery_impl.sidekiq.jobs import strict_arguments
from celery_impl.sidekiq.jobs.celery_retries import USED_UP, says
from celery_impl.sidekiq.jobs.entry_format import FAILURE_HEADER, failure
from celery_impl.sidekiq.jobs.error_rules import Rule
from celery_impl.sidekiq.jobs.retry_schedule import Schedule
from celery_impl.sidekiq.limits import unique
from celery_impl.sidekiq.limits.rate_limit import Limiter
from celery_impl.sidekiq.redis.deadline import WITHIN_S
from celery_impl.sidekiq.sending.bulk import Call, calls_of, send

if TYPE_CHECKING:
    BaseTask = Task[Any, Any]
else:
    BaseTask = Task  # before Celery 5.7 a task is no generic class

#: The task and the arguments that this thread gives to `apply_async`, which eager mode gives to `apply`.
_sent: Final[ContextVar[tuple[Any, Any, Any] | None]] = ContextVar("sidekiq_sent", default=None)


class SidekiqTask(BaseTask):
    """Base of every task of an app with `Sidekiq(app)`, behind whatever class the task has of its own.

    The attributes `sidekiq_…` are a task's options: `@app.task(sidekiq_retry=3)`.
    """

    abstract = True
    #: These are set by `Sidekiq(app)`.
    schedule: ClassVar[Schedule] = Schedule()
    sidekiq_errors: ClassVar[Rule | None] = None
    sidekiq_death_handlers: ClassVar[Sequence[death.DeathHandler]] = ()
    sidekiq_within_s: ClassVar[float] = WITHIN_S
    sidekiq_buffer: ClassVar[Buffer | None] = None
    #: Whether arguments must be what the serializer gives back; by default as `Sidekiq(app)` has it.
    sidekiq_strict_arguments: bool = True
    #: True: the schedule's limit. A number: so many retries. False: none, and no dead set either.
    sidekiq_retry: bool | int = True
    #: When each retry runs, in place of Sidekiq's formula; None: as `Sidekiq(app)` has it.
    sidekiq_schedule: Schedule | None = None
    #: What an error means for the job, before the app's own rule; see `jobs.error_rules`.
    sidekiq_retry_in: Rule | None = None
    #: Called with the job (`DeadJob`) and its error when it is out of retries or killed, before it goes to
    #: the dead set; where it returns "discard", the job does not go there.
    sidekiq_retries_exhausted: Callable[..., Any] | None = None
    #: Until when a job keeps others with the same arguments out; None: it does not. See `limits.unique`.
    sidekiq_unique: unique.Until | None = None
    #: Seconds for which it does at most.
    sidekiq_unique_for: float = unique.UNIQUE_FOR_S
    #: What sending a second one does: "return" the first one's `Duplicate`, or "raise" NotUnique.
    sidekiq_unique_conflict: unique.Conflict = "return"
    #: A job runs within all of these, or is put off. See `limits.rate_limit`.
    sidekiq_limits: Sequence[Limiter] = ()

    def delay_on_commit(self, *args: Any, session: Any = None, **kwargs: Any) -> Any:
        """As `delay`, when the outermost transaction of `session` has committed; see `enqueue.on_commit`.

        The session is SQLAlchemy's. Raise TypeError without one.
        """
        from celery_impl.sidekiq.enqueue.on_commit import (
            delay_on_commit,  # late: not every app has SQLAlchemy
        )

        if session is None:
            raise TypeError(
                f"{self.name}.delay_on_commit needs session=…, the session of SQLAlchemy to wait for"
            )
        return delay_on_commit(session, self, *args, **kwargs)

    def bulk(self, items: Iterable[Any], **options: Any) -> Sequence[Any]:
        """Send a job for each item, many in one packet, and return their results in the same order.

        An item is a tuple (or list) of positional arguments, a dictionary of keyword arguments, or a
        signature of this task with both. `options` are those of `apply_async`, for all jobs. Raise TypeError
        or ArgumentsError, with the item's number, before anything is sent; BulkError where the broker did not
        take all jobs. See `sending.bulk`.
        """
        return bulk_of(self, calls_of(self, items, serializer=options.get("serializer")), options)

    def _sidekiq_is_direct(self) -> bool:
        """Whether jobs go from `apply_async` to the broker unseen; see `middleware.entry_points`."""
        return False

    def apply(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """As Celery's; raise ArgumentsError for arguments that are not strict."""
        sent = _sent.get()
        if sent is not None and sent[0] is self:
            _sent.set(None)
            self._check(*sent[1:])
        else:
            self._check(args, kwargs)
        return super().apply(args, kwargs, *rest, **options)

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """As Celery's, but check arguments in eager mode too, before its own JSON changes them."""
        # Looking whether the mode is on would cost more than noting what is sent.
        token = _sent.set((self, args, kwargs))
        try:
            return super().apply_async(args, kwargs, *rest, **options)
        except EncodeError as error:
            if not isinstance(error, strict_arguments.ArgumentsError) and self.app.conf.task_always_eager:
                self._check(args, kwargs)  # which names the argument
            raise
        finally:
            _sent.reset(token)

    def retry(self, args: Any = None, kwargs: Any = None, exc: Any = None, *rest: Any, **options: Any) -> Any:
        """As Celery's, but record the error in the entry of the retry set, and lose no job.

        A retry that the broker does not take gives the job back, where Celery drops it. One that can never be
        sent is the job's error. After the last one that the task allows the job is given up.
        """
        error = exc or sys.exc_info()[1]
        if error is not None and not self.request.called_directly:
            options["headers"] = self.failed_headers(error, options.get("headers"))
        keeps = args is None and kwargs is None
        try:
            with strict_arguments.as_they_came() if keeps else nullcontext():
                return super().retry(args, kwargs, exc, *rest, **options)
        except Reject as unsent:
            reason: Any = unsent.reason  # type: ignore[attr-defined] # not in the stubs
            if not isinstance(reason, EncodeError):
                raise given_back(reason) from unsent
            vars(self.request)[USED_UP] = True
            raise reason from None
        except TaskPredicate:
            raise
        except Exception:
            vars(self.request)[USED_UP] = True
            raise

    def failed_headers(self, error: BaseException, more: Any = None) -> dict[str, Any]:
        """Return the headers of this job with what its failure header says after `error`."""
        headers = {**(self.request.headers or {}), **(more or {})}
        return {
            **headers,
            FAILURE_HEADER: failure(error, now=time.time(), before=headers.get(FAILURE_HEADER)),
        }

    @property
    def goes_to_dead_set(self) -> bool:
        """Whether a job that is given up goes to the dead set."""
        return self.sidekiq_retry is not False

    @property
    def retry_limit(self) -> int:
        """How many retries a job has: by the task, in Sidekiq's or Celery's words, else by the schedule."""
        schedule = self.sidekiq_schedule or self.schedule
        if self.sidekiq_retry is not True:
            return int(self.sidekiq_retry)
        in_ours = any(says(self, option, but=SidekiqTask) for option in ("sidekiq_retry", "sidekiq_schedule"))
        if in_ours or self.max_retries is None or not says(self, "max_retries", but=SidekiqTask):
            return schedule.limit
        return self.max_retries

    def _check(self, args: Any, kwargs: Any) -> None:
        if strict_arguments.is_strict(self):
            serializer = self.serializer or strict_arguments.JSON
            strict_arguments.check(self.name or "", args, kwargs, serializer=serializer)


def bulk_of(task: Any, calls: Sequence[Call], options: dict[str, Any]) -> Sequence[Any]:
    """As `task.bulk`, of calls that were checked."""
    return send(task, calls, options, short=task._sidekiq_is_direct() and not after_run.is_follow_up())  # noqa: SLF001 - ours
