"""What a task does around its sending and its running: bounded time, the buffer, uniqueness, limits.

1. Sending takes `sidekiq_within_s` seconds at most (`deadline`), whatever the broker does. Celery's own
   repeats (`task_publish_retry`) are off, for they would make two jobs of one; `retry=True` asks for them,
   within the same time.
2. A unique job takes its place before it is sent (`unique`).
3. What the broker did not take is kept where the app has a buffer (`buffer`).
4. A job runs within the limits of its task, or is put off (`rate_limit`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import redis
from celery.exceptions import Ignore, Reject, Retry
from celery.utils import uuid
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.enqueue.buffer import Buffer, Kept
from celery_impl.sidekiq.jobs import job_repr
from celery_impl.sidekiq.jobs.strict_arguments import as_they_came
from celery_impl.sidekiq.lease.fast_enqueue import ExpressTask
from celery_impl.sidekiq.limits import client, unique
from celery_impl.sidekiq.limits.rate_limit import (
    PUT_OFF_HEADER,
    PUT_OFF_LIMIT,
    Limiter,
    OverLimitError,
    put_off_s,
    within_all,
)
from celery_impl.sidekiq.redis.deadline import WITHIN_S, within
from celery_impl.sidekiq.redis.unique_lua import HEADER


class SendingTask(ExpressTask):
    """Base of `SidekiqTask`."""

    abstract = True
    #: These two are set by `Sidekiq(app)`.
    sidekiq_within_s: ClassVar[float] = WITHIN_S
    sidekiq_buffer: ClassVar[Buffer | None] = None
    #: Until when a job keeps others with the same arguments out; None: it does not. See `unique`.
    sidekiq_unique: unique.Until | None = None
    #: Seconds for which it does at most.
    sidekiq_unique_for: float = unique.UNIQUE_FOR_S
    #: What sending a second one does: "return" the first one's `Duplicate`, or "raise" NotUnique.
    sidekiq_unique_conflict: unique.Conflict = "return"
    #: A job runs within all of these, or is put off. See `rate_limit`.
    sidekiq_limits: Sequence[Limiter] = ()

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Refuse options that cannot be used as soon as the task is made; raise UniqueOptionError."""
        unique.check(cls)
        super().on_bound(app)

    def delay_on_commit(self, session: Any, *args: Any, **kwargs: Any) -> Any:
        """As `delay`, when the session's outermost transaction has committed; see `on_commit`."""
        from celery_impl.sidekiq.enqueue.on_commit import (
            delay_on_commit,  # late: not every app has SQLAlchemy
        )

        return delay_on_commit(session, self, *args, **kwargs)

    def apply_async(
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        """As Celery's, in bounded time; raise kombu's OperationalError where the broker does not take it.

        With a buffer, BufferFullError (an OperationalError too) where it is full. A unique task returns a
        `Duplicate` or raises NotUnique where its place is taken.
        """
        if self.app.conf.task_always_eager:
            return super().apply_async(args, kwargs, task_id, producer, *rest, **options)
        options.setdefault("retry", False)
        send = partial(self._hand_over, args, kwargs, producer=producer, **options)
        if rest:
            send = partial(send, **dict(zip(("link", "link_error", "shadow"), rest, strict=False)))
        if self.sidekiq_unique is not None and not self._is_tested:
            with within(self.sidekiq_within_s):
                return self._send_unique(send, task_id, args, kwargs, options)
        if self._may_keep(producer):
            return self._send_or_keep(task_id or uuid(), args, kwargs, send.keywords)
        with within(self.sidekiq_within_s):
            return send(task_id=task_id)

    def perform(self, args: Any, kwargs: Any) -> Any:
        """Run the job within its limits and let go of its place; raise what it raises, Retry if put off."""
        if self._is_tested:
            return self.run(*args, **kwargs)
        try:
            with within_all(self.sidekiq_limits):
                unique.begun(self, self.request)
                result = self.run(*args, **kwargs)
        except OverLimitError as over:
            if self._put_offs >= PUT_OFF_LIMIT:
                raise
            raise self._put_off(over) from over
        except (Ignore, Reject) as error:
            if not getattr(error, "requeue", False):
                unique.ended(self, self.request)
            raise
        unique.ended(self, self.request)
        return result

    def _hand_over(self, args: Any, kwargs: Any, task_id: str | None = None, **options: Any) -> Any:
        try:
            if not options.get("ignore_result", self.ignore_result):
                self._ask_before_the_results_do()
            return super().apply_async(args, kwargs, task_id, **options)
        except redis.RedisError as error:  # a bound that was over before anybody asked kombu
            raise OperationalError(str(error)) from error

    def _ask_before_the_results_do(self) -> None:
        """See that the broker answers, where it may hold the results too.

        Celery subscribes to a job's result before it sends the job, and tries so for minutes.
        """
        if not self._is_tested and hasattr(self.app.backend, "result_consumer"):
            client.client(self.app).ping()

    def _send_unique(self, send: Any, task_id: str | None, args: Any, kwargs: Any, options: Any) -> Any:
        job_id = task_id or uuid()
        mark, holder = unique.take(self, job_id, args, kwargs, options)
        again = task_id is not None and task_id == self.request.id  # a retry: it was taken in once already
        if holder is not None and not again:
            if task_id is not None or self.sidekiq_unique_conflict == "raise":
                raise unique.NotUnique(self.name or "", holder)
            return unique.Duplicate(holder, app=self.app)
        headers = {**(options.get("headers") or {}), HEADER: f"{mark}:{job_id}"}
        try:
            return send(task_id=job_id, headers=headers)
        except BaseException:
            if not again:
                unique.forget(self, job_id, args, kwargs)
            raise

    @property
    def _is_tested(self) -> bool:
        """Whether `testing` is on, where there is no broker to ask."""
        return getattr(self.app.amqp, "testing_jobs", None) is not None

    def _may_keep(self, producer: Any) -> bool:
        """Whether the buffer may take the job: not what a running job sends, which is retried itself."""
        return self.sidekiq_buffer is not None and producer is None and self.app.current_worker_task is None

    def _send_or_keep(self, job_id: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
        buffer: Any = self.sidekiq_buffer
        error: OperationalError | None = None
        if not buffer:
            try:
                with within(self.sidekiq_within_s):
                    return self._hand_over(args, kwargs, job_id, **options)
            except OperationalError as failed:
                error = failed
        fixed = copy.deepcopy((tuple(args or ()), dict(kwargs or {})))
        send = partial(self._send_kept, *fixed, job_id, _absolute(options, self.app.now()))
        buffer.keep(Kept(send, job_repr.job(self, job_id, *fixed, options)), error)
        return self.AsyncResult(job_id)

    def _send_kept(self, args: Any, kwargs: Any, job_id: str, options: dict[str, Any]) -> None:
        with within(self.sidekiq_within_s):
            self._hand_over(args, kwargs, job_id, **copy.copy(options))

    @property
    def _put_offs(self) -> int:
        return int((self.request.headers or {}).get(PUT_OFF_HEADER) or 0)

    def _put_off(self, over: OverLimitError) -> BaseException:
        """Send the job anew with a delay and the retries that it has; Reject where that cannot be done."""
        request, before = self.request, self._put_offs
        wait_s = put_off_s(over, before)
        headers = {**(request.headers or {}), PUT_OFF_HEADER: before + 1}
        try:
            again = self.signature_from_request(
                request, headers=headers, retries=request.retries, countdown=wait_s
            )
            with as_they_came():
                again.apply_async(add_to_parent=False)
        except Exception as unsent:  # noqa: BLE001 - whatever it is, the old message is all there is
            return Reject(f"given back: {unsent}", requeue=True)
        when: Any = math.ceil(wait_s)
        return Retry(f"put off: {over}", over, when)


def _absolute(options: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The options with moments in place of waits, which would begin when the job is sent at last."""
    fixed = dict(options)
    if fixed.get("countdown"):
        fixed["eta"] = now + timedelta(seconds=float(fixed.pop("countdown")))
    if isinstance(fixed.get("expires"), int | float):
        fixed["expires"] = now.astimezone(UTC) + timedelta(seconds=fixed["expires"])
    return fixed
