"""Test the jobs of an app without a broker and without a worker, as Sidekiq::Testing does.

    with fake(app) as jobs:                   # what is sent is kept, and nothing leaves the process
        sign_up("ada")
        [job] = jobs.enqueued
        assert (job.task, job.args) == ("mail.welcome", ["ada"])
        jobs.drain()                          # run it, and what it sends

    with inline(app) as jobs:                 # each job runs where it is sent
        sign_up("ada")

1. What a job goes through stays real: strict arguments, the serializer, routes, publish signals, Celery's
   tracer, canvas, and results, which are held in memory where the app keeps any.
2. A job that fails has its retry in `jobs.retries` or is in `jobs.dead`, death handlers included, and its
   error is raised to the test.
3. No time passes: jobs with a countdown or an ETA are in `jobs.scheduled` until they are run.

Time limits, expiry and priorities are left out. Both hold for the whole app, in all threads, until their
block ends; one may stand within another, and each may be a decorator.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from celery import Celery
from celery.app.backends import by_url
from celery.app.trace import trace_task
from celery.backends.base import DisabledBackend
from celery.exceptions import Ignore, Reject, Retry
from kombu import serialization
from kombu.utils.functional import LRUCache
from kombu.utils.json import dumps

from celery_impl.sidekiq.api import job as read
from celery_impl.sidekiq.api.job import Job
from celery_impl.sidekiq.jobs.entry_format import DeadJob, entry
from celery_impl.sidekiq.memory.capturing_producer import CapturingProducer
from celery_impl.sidekiq.redis.set_moves import Source
from celery_impl.sidekiq.redis.transport import ETA_PROPERTY, due_at
from celery_impl.sidekiq.testing import fake_amqp

#: Runs of one `drain` after which it is taken for endless.
RUNS_LIMIT: Final = 10_000
#: Results that are held in memory.
RESULTS_LIMIT: Final = 5000
#: Where a job of these modes stands, in place of a key in Redis.
SOURCE: Final = Source("testing")


class NotTestingError(RuntimeError):
    """`drain` was called outside `fake` and `inline`."""


class EndlessError(RuntimeError):
    """`drain` ran as many jobs as it may, and there were more."""


class Jobs:
    """What an app has sent within `fake` or `inline`; the lists may be looked at and changed.

    `enqueued`, `scheduled` and `retries` hold `Job`s, in the order in which they were sent; `dead` holds
    `DeadJob`s. `at` of a scheduled job or a retry is when it is due, in seconds since the epoch.
    """

    def __init__(self, app: Celery, *, at_once: bool = False) -> None:
        self.enqueued: list[Job] = []
        self.scheduled: list[Job] = []
        self.retries: list[Job] = []
        self.dead: list[DeadJob] = []
        self._app = app
        self._at_once = at_once

    def __iter__(self) -> Iterator[Job]:
        """All that wait: enqueued, then scheduled, then retries."""
        yield from (*self.enqueued, *self.scheduled, *self.retries)

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self.enqueued) + len(self.scheduled) + len(self.retries)

    def of(self, task: Any) -> list[Job]:
        """Return the waiting jobs of a task, which is given itself or by its name."""
        name = getattr(task, "name", task)
        return [job for job in self if job.task == name]

    def clear(self) -> None:
        """Forget all, the dead too."""
        for kept in (self.enqueued, self.scheduled, self.retries):
            kept.clear()
        self.dead.clear()

    def run(self, job: Job) -> None:
        """Run this job now, whatever it waits for; raise its error, as `drain`.

        Raise ValueError for a job that does not wait here, and NotRegistered for a task that the app has not.
        """
        for kept in (self.enqueued, self.scheduled, self.retries):
            if job in kept:
                task = self._app.tasks[job.task]
                kept.remove(job)
                self._run(task, job)
                return
        raise ValueError(f"job {job.id} does not wait here: it has run, or was sent outside of this block")

    def drain(self, *, retries: bool = False, at_most: int = RUNS_LIMIT) -> int:
        """Run all that wait and what they send, scheduled jobs by their due times; return how many runs.

        Raise the first error of a job; with `retries` none, but run retries too until each job is done or
        dead. Raise EndlessError after `at_most` runs.
        """
        for count in range(at_most):
            job = self._next(retries=retries)
            if job is None:
                return count
            try:
                self.run(job)
            except Exception:
                if not retries:
                    raise
        if self._next(retries=retries) is None:
            return at_most
        raise EndlessError(f"{at_most} jobs ran and there are more: do they send each other?")

    def take(self, queue: str, message: dict[str, Any]) -> None:
        """Keep what was sent, or run it; `unsent` calls this."""
        due = due_at(message)
        retried = bool(message["headers"].get("retries"))
        message["properties"]["enqueued_at"] = max(time.time(), due or 0.0)
        message["properties"][ETA_PROPERTY] = message["headers"]["eta"]
        message["headers"]["eta"] = None
        text = dumps(message)
        if retried or due is not None:
            job = read.waiting(SOURCE, entry(queue, text).encode(), due or time.time())
        else:
            job = read.queued(Source(queue, is_list=True), text.encode())
        if self._at_once and not retried:
            self._run(self._app.tasks[job.task], job)
        else:
            (self.retries if retried else self.scheduled if due is not None else self.enqueued).append(job)

    def _next(self, *, retries: bool) -> Job | None:
        if self.enqueued:
            return self.enqueued[0]
        later = self.scheduled + (self.retries if retries else [])
        return min(later, key=lambda job: job.at or 0.0, default=None)

    def _run(self, task: Any, job: Job) -> None:
        message = json.loads(job.message or "")
        headers, properties = message["headers"], message["properties"]
        args, kwargs, embed = serialization.loads(
            base64.b64decode(message["body"]),
            message["content-type"],
            message["content-encoding"],
            force=True,
        )
        delivery = {
            **properties["delivery_info"],
            "priority": properties.get("priority"),
            "redelivered": False,
        }
        request = {**headers, "args": args, "kwargs": kwargs, "delivery_info": delivery, "is_eager": False}
        request |= {name: properties.get(name) for name in ("reply_to", "correlation_id", ETA_PROPERTY)}
        request |= {"properties": properties, "hostname": "testing", **(embed or {})}
        _raise(trace_task(task, job.id, args, kwargs, request, app=self._app)[1])


@contextmanager
def fake(app: Celery) -> Iterator[Jobs]:
    """A context and decorator in which `app` keeps its jobs; the context is their `Jobs`."""
    with _testing(app, at_once=False) as jobs:
        yield jobs


@contextmanager
def inline(app: Celery) -> Iterator[Jobs]:
    """A context and decorator in which each job of `app` runs where it is sent, whatever its countdown.

    Its error is raised there. What runs again later, a retry, is kept in the context's `Jobs`.
    """
    with _testing(app, at_once=True) as jobs:
        yield jobs


def drain(app: Celery, *, retries: bool = False, at_most: int = RUNS_LIMIT) -> int:
    """As `Jobs.drain`, of the innermost `fake` or `inline`; raise NotTestingError outside of any."""
    jobs = getattr(app.amqp, "testing_jobs", None)
    if jobs is None:
        raise NotTestingError("drain(app) runs what fake(app) keeps: call it within `with fake(app):`")
    return int(jobs.drain(retries=retries, at_most=at_most))


@contextmanager
def _testing(app: Celery, *, at_once: bool) -> Iterator[Jobs]:
    jobs = Jobs(app, at_once=at_once)
    state: Any = app
    amqp, cached = state.amqp, state._backend_cache  # noqa: SLF001 - pinned by a test
    state.amqp = fake_amqp.amqp(app, CapturingProducer(jobs.take, jobs.dead.append))
    state.amqp.testing_jobs = jobs
    if not isinstance(state.backend, DisabledBackend):
        state._backend_cache = _memory(app)  # noqa: SLF001 - pinned by a test
    try:
        yield jobs
    finally:
        state.amqp = amqp
        state._backend_cache = cached  # noqa: SLF001 - pinned by a test


def _memory(app: Celery) -> Any:
    found: Any = by_url("cache+memory://", app.loader)
    made = found[0](app=app, url=found[1])
    made.client.cache = LRUCache(limit=RESULTS_LIMIT)  # its own: Celery's is one for the process
    return made


def _raise(info: Any) -> None:
    """Raise the error of a run that ended so: what its task raised, where it is retried too."""
    error = info.retval if info else None
    if isinstance(error, Reject):
        error = error.__cause__ or error
    elif isinstance(error, Retry):
        error = error.exc  # none where a task only asks to run again
    if error is not None and not isinstance(error, Ignore):
        raise error
