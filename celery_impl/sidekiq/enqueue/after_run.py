"""What follows a job is sent, or the job runs again: the next step of a chain, its links, a chord's callback.

`delay` gives its caller an answer within a second. What a worker sends once a job's own code has ended has no
caller who could try again, and Celery makes a failed job of one whose next step it cannot send. So

1. what is sent then is sent again and again, for PATIENCE_S seconds (`patiently`);
2. if that was in vain, the job is not acknowledged: it goes back to its queue, runs again and goes on.
   FollowUpError leaves Celery's tracer for that, which handles every Exception itself;
3. what cannot be sent at all, such as a result that strict arguments refuse, fails the job, and the job goes
   to the dead set, where it can be run again from.

A chord counts its parts in the result backend and takes its counter away once it has tried to send the
callback. So a part asks the broker first whether it is there (`wait_for_broker`). A part that cannot be
counted runs again: Celery would count it as failed, and the callback would never come.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import redis
from billiard.einfo import ExceptionInfo
from celery import states
from celery.app.task import Context
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Reject, SoftTimeLimitExceeded
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.enqueue import death, lost_chords
from celery_impl.sidekiq.lease.holder import stopping
from celery_impl.sidekiq.redis.deadline import within

#: Seconds for which a worker tries to send what follows a job.
PATIENCE_S: Final = 60.0
#: Seconds that one attempt may take: a broker that is silent for less gets each message once.
ATTEMPT_S: Final = 10.0
#: Seconds between two attempts, at first and at most.
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 2.0
#: How a broker does not take a message.
REFUSALS: Final = (OperationalError, redis.RedisError, OSError)

logger = logging.getLogger(__name__)

T = TypeVar("T")
Tracer = Callable[..., Any]


class FollowUpError(BaseException):
    """What follows a job cannot be sent. No Exception: Celery's `except Exception` would lose the rest."""


class _Run:
    """A job in Celery's tracer: whether its own code has ended, and without an error.

    `callback` is the id of its chord's callback, None once that was sent.
    """

    __slots__ = ("callback", "ended", "succeeded")

    def __init__(self, callback: str | None) -> None:
        self.callback = callback
        self.ended = False
        self.succeeded = False


_run: Final[ContextVar[_Run | None]] = ContextVar("sidekiq_run", default=None)


def ended(*, succeeded: bool) -> None:
    """Note that the code of this thread's job has ended: what is sent from now on follows it."""
    run = _run.get()
    if run is not None:
        run.ended, run.succeeded = True, succeeded


def sent(job_id: str) -> None:
    """Note that this job, which follows that of this thread, was sent."""
    run = _run.get()
    if run is not None and run.callback == job_id:
        run.callback = None


def is_follow_up() -> bool:
    """Return whether this thread sends what follows a job."""
    run = _run.get()
    return run is not None and run.ended


def patiently(send: Callable[[], T], what: object) -> T:
    """Call `send` until the broker takes it and return its result; raise FollowUpError if it never does.

    A soft time limit is for a job's own code and ends nothing here.
    """
    until, wait_s = time.monotonic() + PATIENCE_S, 0.0
    while True:
        try:
            time.sleep(wait_s)
            with within(ATTEMPT_S, alone=True):
                return send()
        except SoftTimeLimitExceeded:
            continue
        except REFUSALS as error:
            if stopping() or time.monotonic() > until:
                raise FollowUpError(f"{what}: {error}") from error
            if not wait_s:
                logger.warning("%s waits for the broker, for up to %g s: %s", what, PATIENCE_S, error)
            wait_s = min(max(2 * wait_s, FIRST_WAIT_S), LONGEST_WAIT_S)


def wait_for_broker(app: Any, what: object) -> None:
    """Return as soon as the broker answers; raise FollowUpError if it never does."""
    patiently(lambda: _ask(app), what)


def guarded(task: Any, trace: Tracer) -> Tracer:
    """Return Celery's tracer of a task, but a job whose next step cannot be sent is given back or buried."""

    def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        callback = lost_chords.callback_id(request or {})
        run = _Run(callback)
        token = _run.set(run)
        if callback is not None:
            _count_or_run_again(task.backend)
        steps = list((request or {}).get("chain") or ())  # Celery takes the next one off, and then sends it
        try:
            outcome = trace(uuid, args, kwargs, request)
            if run.succeeded and _state(outcome) == states.FAILURE:
                before = {**(request or {}), "chain": steps or None}
                context = Context(before, args=args, kwargs=kwargs, called_directly=False)
                error = outcome.info.retval
                patiently(lambda: death.end(task, context, error), f"the burial of job {uuid}")
            if callback is not None and _state(outcome) in (states.SUCCESS, states.FAILURE):
                lost_chords.note(task.app, request, sent=run.callback is None)
        except (FollowUpError, *REFUSALS) as error:
            logger.warning("job %s goes back to its queue: %s", uuid, error)
            return _given_back(error)
        else:
            return outcome
        finally:
            _run.reset(token)

    return trace_task


def _count_or_run_again(backend: Any) -> None:
    """Let a backend that does not answer raise FollowUpError for a part of a chord. Once is enough."""
    if "mark_as_done" in vars(backend):
        return
    count = backend.mark_as_done

    def mark_as_done(task_id: str, result: Any, request: Any = None, *args: Any, **options: Any) -> Any:
        try:
            return count(task_id, result, request, *args, **options)
        except REFUSALS as error:
            if request is None or not request.chord or not is_follow_up():
                raise
            client = getattr(backend, "client", None)
            if isinstance(client, redis.Redis):  # else it would run again at once, and again
                patiently(client.ping, f"the count of job {task_id}")
            raise FollowUpError(f"job {task_id} could not be counted: {error}") from error

    backend.mark_as_done = mark_as_done


def _state(outcome: Any) -> str:
    return states.SUCCESS if outcome.info is None else outcome.info.state


def _ask(app: Any) -> None:
    with app.producer_or_acquire() as producer:
        sets = getattr(producer.channel, "sets", None)
        if sets is not None:
            sets.client.ping()


def _given_back(error: BaseException) -> Any:
    """Return what a tracer returns of a job that goes back."""
    reject = Reject(f"given back: {error}", requeue=True)
    einfo = ExceptionInfo((Reject, reject, error.__traceback__), internal=True)
    return trace_ok_t(einfo, TraceInfo(states.REJECTED, reject), 0.0, None)
