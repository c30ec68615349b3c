"""The task class: retried by Sidekiq's schedule, then buried in the dead set, never lost between.

1. A run that raises is sent again with a delay; the old message is acknowledged only afterwards.
2. If it cannot be sent, the old message goes back to the queue and burns no retry.
3. Out of retries, it goes to the dead set; if that cannot be done, the message goes back as well.
Between a step and its acknowledgement a kill makes a job run twice: at least once, as promised.
What `giving_up` does then is there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

from celery.exceptions import Reject, TaskPredicate

from celery_impl.sidekiq.enqueue import death
from celery_impl.sidekiq.enqueue.sending_task import SendingTask
from celery_impl.sidekiq.jobs import strict_arguments
from celery_impl.sidekiq.jobs.entry_format import FAILURE_HEADER, failure
from celery_impl.sidekiq.jobs.error_rules import DISCARD, KILL, Rule, check_rule, verdict
from celery_impl.sidekiq.jobs.retry_schedule import Schedule


class SidekiqTask(SendingTask):
    """Base of every task of an app with `Sidekiq(app)`.

    The attributes `sidekiq_…` are a task's options: `@app.task(sidekiq_retry=3)`.
    """

    abstract = True
    Request = "celery_impl.sidekiq.worker.request:SidekiqRequest"
    #: The first three are set by `Sidekiq(app)`.
    schedule: ClassVar[Schedule] = Schedule()
    sidekiq_errors: ClassVar[Rule | None] = None
    sidekiq_death_handlers: ClassVar[Sequence[death.DeathHandler]] = ()
    #: Whether arguments must be what JSON gives back (see `arguments`); by default as `Sidekiq(app)` has it.
    sidekiq_strict_arguments: bool = True
    #: True: the schedule's limit. A number: so many retries. False: none, and no dead set either.
    sidekiq_retry: bool | int = True
    #: When each retry runs, in place of Sidekiq's formula; None: as `Sidekiq(app)` has it.
    sidekiq_schedule: Schedule | None = None
    #: What an error means for the job, before the app's own rule; see `verdicts`.
    sidekiq_retry_in: Rule | None = None
    #: Called with the job (`Grave`) and its error when it is out of retries or killed, before it goes to
    #: the dead set; where it returns "discard", the job does not go there.
    sidekiq_retries_exhausted: Callable[..., Any] | None = None

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Refuse a rule that cannot be used as soon as the task is made; raise VerdictError."""
        check_rule(cls.sidekiq_retry_in, f"sidekiq_retry_in of {cls.name}")
        super().on_bound(app)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job; what it raises is turned into a retry while there are any left."""
        request = self.request
        if request.called_directly or request.is_eager:
            return super().__call__(*args, **kwargs)
        try:
            return self.perform(args, kwargs)
        except TaskPredicate:
            raise
        except Exception as error:
            if self.goes_to_dead_set:
                self._send_again_or_bury(error)
            else:
                death.tell(self, death.grave(self, request, error), error)
            raise

    def apply(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """As Celery's, of strict arguments: raise ArgumentsError."""
        self._check(args, kwargs)
        return super().apply(args, kwargs, *rest, **options)

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """As Celery's, of strict arguments in eager mode too, whose own JSON would hide others."""
        if self.app.conf.task_always_eager:
            self._check(args, kwargs)
        return super().apply_async(args, kwargs, *rest, **options)

    def retry(self, args: Any = None, kwargs: Any = None, exc: Any = None, *rest: Any, **options: Any) -> Any:
        """As Celery's; the entry in the retry set tells of the error."""
        error = exc or sys.exc_info()[1]
        if error is not None and not self.request.called_directly:
            headers = {**(self.request.headers or {}), **options.get("headers", {})}
            failed = failure(error, now=time.time(), before=headers.get(FAILURE_HEADER))
            options["headers"] = {**headers, FAILURE_HEADER: failed}
        with strict_arguments.as_they_came() if args is None and kwargs is None else nullcontext():
            return super().retry(args, kwargs, exc, *rest, **options)

    @property
    def goes_to_dead_set(self) -> bool:
        """Whether a job that is given up goes to the dead set."""
        return self.sidekiq_retry is not False

    @property
    def retry_limit(self) -> int:
        """How many retries a job has."""
        return self._own_schedule.limit if self.sidekiq_retry is True else int(self.sidekiq_retry)

    @property
    def _own_schedule(self) -> Schedule:
        return self.sidekiq_schedule or self.schedule

    def _check(self, args: Any, kwargs: Any) -> None:
        if self.sidekiq_strict_arguments and not (self.name or "").startswith(strict_arguments.CELERYS_OWN):
            strict_arguments.check(self.name or "", args, kwargs)

    def _send_again_or_bury(self, error: Exception) -> None:
        retries = self.request.retries
        rules = (
            type(self).sidekiq_retry_in,
            type(self).sidekiq_errors,
        )  # of the class: a function is no method here
        answer = verdict(error, retries, *rules) if retries < self.retry_limit else KILL
        try:
            if answer == DISCARD:
                death.tell(self, death.grave(self, self.request, error), error)
                return
            if answer == KILL:
                death.give_up(self, self.request, error)
                return
            again = self._send_again(error, retries, None if answer is None else float(answer))
        except Exception as unsent:  # noqa: BLE001 - whatever it is, the old message is all there is
            raise Reject(f"given back: {unsent}", requeue=True) from error
        raise again from error

    def _send_again(self, error: Exception, retries: int, wait_s: float | None) -> BaseException:
        schedule = self._own_schedule
        delay = schedule.delay_s(retries) if wait_s is None else schedule.after_s(wait_s, retries)
        sent: BaseException = self.retry(
            exc=error, countdown=delay, max_retries=self.retry_limit, throw=False
        )
        return sent
