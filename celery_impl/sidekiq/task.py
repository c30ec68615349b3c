"""The task class: retried by Sidekiq's schedule, then buried in the dead set, never lost between.

1. A run that raises is sent again with a delay; the old message is acknowledged only afterwards.
2. If it cannot be sent, the old message goes back to the queue and burns no retry.
3. Out of retries, it goes to the dead set; if that cannot be done, the message goes back as well.
Between a step and its acknowledgement a kill makes a job run twice: at least once, as promised.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from celery import Task
from celery.exceptions import Reject, TaskPredicate
from celery.utils.dispatch import Signal

from celery_impl.sidekiq.retries import Schedule
from celery_impl.sidekiq.sets import MESSAGE_LIMIT, Grave

#: Sent when a job has gone to the dead set, in the process that put it there: sender (the task),
#: task_id, exception, args, kwargs.
job_buried = Signal(name="job_buried", providing_args=["task_id", "exception", "args", "kwargs"])


class SidekiqTask(Task[Any, Any]):
    """Base of every task of an app with `Sidekiq(app)`."""

    abstract = True
    Request = "celery_impl.sidekiq.request:SidekiqRequest"
    #: Set by `Sidekiq(app)`.
    schedule: ClassVar[Schedule] = Schedule()
    #: True: the schedule's limit. A number: so many retries. False: none, and no dead set either.
    sidekiq_retry: bool | int = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job; what it raises is turned into a retry while there are any left."""
        request = self.request
        if request.called_directly or request.is_eager:
            return super().__call__(*args, **kwargs)
        try:
            return self.run(*args, **kwargs)
        except TaskPredicate:
            raise
        except Exception as error:
            if self.sidekiq_retry is not False:
                self._send_again_or_bury(error)
            raise

    @property
    def goes_to_dead_set(self) -> bool:
        """Whether a job that is given up goes to the dead set."""
        return self.sidekiq_retry is not False

    @property
    def retry_limit(self) -> int:
        """How many retries a job has."""
        return self.schedule.limit if self.sidekiq_retry is True else int(self.sidekiq_retry)

    def bury(self, request: Any, error: BaseException) -> None:
        """Put the job of `request` into the dead set and tell `job_buried`; raise what the broker raises."""
        with self.app.producer_or_acquire() as producer:
            producer.channel.sets.bury(self._grave(request, error))
        known = {"task_id": request.id, "exception": error, "args": request.args, "kwargs": request.kwargs}
        job_buried.send(sender=self, **known)

    def _send_again_or_bury(self, error: Exception) -> None:
        retries = self.request.retries
        try:
            if retries >= self.retry_limit:
                self.bury(self.request, error)
                return
            delay = self.schedule.delay_s(retries)
            again = self.retry(exc=error, countdown=delay, max_retries=self.retry_limit, throw=False)
        except Exception as unsent:  # noqa: BLE001 - whatever it is, the old message is all there is
            raise Reject(f"given back: {unsent}", requeue=True) from error
        raise again from error

    def _grave(self, request: Any, error: BaseException) -> Grave:
        delivery = getattr(request, "delivery_info", None) or {}
        return Grave(
            id=request.id,
            task=self.name or "",
            args=list(request.args or ()),
            kwargs=dict(request.kwargs or {}),
            queue=delivery.get("routing_key") or self.app.conf.task_default_queue,
            retries=getattr(request, "retries", 0) or 0,
            error_class=type(error).__name__,
            error_message=str(error)[:MESSAGE_LIMIT],
            failed_at=time.time(),
        )
