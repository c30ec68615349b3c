"""The retry, scheduled and dead sets: look, find, and act on one job, some or all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Self

from celery import Celery

from celery_impl.sidekiq.api import job as read
from celery_impl.sidekiq.api.job import Job
from celery_impl.sidekiq.api.job_moves import queue_again, to_dead_jobs
from celery_impl.sidekiq.jobs.broker_support import dead_set_of, is_in_memory, serves
from celery_impl.sidekiq.jobs.job_store import JobStore
from celery_impl.sidekiq.memory.store import memory_store
from celery_impl.sidekiq.redis import sets
from celery_impl.sidekiq.redis.set_moves import Source
from celery_impl.sidekiq.redis.store import NoSidekiqError, Store


class JobSet:
    """A set of jobs, whichever broker keeps it; `clock` returns seconds since 1970.

    Iterating goes newest first: what stays in the set is seen exactly once.
    """

    def __init__(self, app: Celery, *, clock: Callable[[], float] = time.time) -> None:
        self._app = app
        self._clock = clock

    def __iter__(self) -> Iterator[Job]:
        """Every job, also those that cannot be read (`problem`)."""
        raise NotImplementedError

    def __len__(self) -> int:
        """As `size`."""
        return self.size()

    def size(self) -> int:
        """Return how many jobs are in the set."""
        raise NotImplementedError

    def latency(self) -> float:
        """Return the seconds by which the job with the lowest `at` is late or old; 0.0 if there is none."""
        raise NotImplementedError

    def find(self, job_id: str) -> Job | None:
        """Return the job with this id, or None; looks at the whole set."""
        raise NotImplementedError

    def retry(self, *jobs: Job) -> int:
        """Queue these jobs now; return how many were still in the set. Raise UnreadableError before any."""
        raise NotImplementedError

    def kill(self, *jobs: Job) -> int:
        """Put these jobs into the dead set; as `retry`."""
        raise NotImplementedError

    def delete(self, *jobs: Job) -> int:
        """Delete these jobs, readable or not; return how many were still in the set."""
        raise NotImplementedError

    def retry_all(self) -> int:
        """Queue every job that can be read and is in the set now; return how many."""
        raise NotImplementedError

    def kill_all(self) -> int:
        """Put every job that can be read and is in the set now into the dead set; return how many."""
        raise NotImplementedError

    def clear(self) -> int:
        """Delete all, readable or not, in one step; return how many there were."""
        raise NotImplementedError


class StoredJobSet(JobSet):
    """A set in the app's JobStore; `name` is its name and `reads` makes a job of an entry."""

    name: ClassVar[str]
    reads: ClassVar[Callable[[Source, bytes, float], Job]] = read.waiting

    def __init__(self, app: Celery, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(app, clock=clock)
        self._store: JobStore = memory_store(app) or Store.of(app, type(self).__name__)
        self._source = Source(self.name)

    def __iter__(self) -> Iterator[Job]:
        """As JobSet."""
        for member, at in self._store.each(self.name):
            yield type(self).reads(self._source, member, at)

    def size(self) -> int:
        """As JobSet."""
        return self._store.size(self.name)

    def latency(self) -> float:
        """As JobSet."""
        first = self._store.lowest(self.name)
        return 0.0 if first is None else max(0.0, self._clock() - first)

    def find(self, job_id: str) -> Job | None:
        """As JobSet."""
        if job_id.startswith("?"):  # of what cannot be read; it stands in no entry
            return next((job for job in self if job.id == job_id), None)
        for member, at in self._store.containing(self.name, json.dumps(job_id)[1:-1]):
            job = type(self).reads(self._source, member, at)
            if job.id == job_id:
                return job
        return None

    def retry(self, *jobs: Job) -> int:
        """As JobSet."""
        return self._store.requeue(self.name, queue_again(jobs, self._clock()))

    def kill(self, *jobs: Job) -> int:
        """As JobSet."""
        now = self._clock()
        return self._store.kill(self.name, to_dead_jobs(jobs, now), now=now)

    def delete(self, *jobs: Job) -> int:
        """As JobSet."""
        return self._store.delete(self.name, [job.member for job in jobs])

    def retry_all(self) -> int:
        """As JobSet."""
        return self._all(self.retry)

    def kill_all(self) -> int:
        """As JobSet."""
        return self._all(self.kill)

    def clear(self) -> int:
        """As JobSet."""
        return self._store.clear(self.name)

    def _all(self, act: Callable[..., int]) -> int:
        return sum(act(*batch) for batch in _batches(job for job in self if _movable(job)))


class RetrySet(StoredJobSet):
    """Jobs that failed and wait for their next run; `at` is when they are due."""

    name = sets.RETRY


class ScheduledSet(StoredJobSet):
    """Jobs with a countdown or an ETA; `at` is when they are due."""

    name = sets.SCHEDULE


class DeadSet(JobSet):
    """Jobs that were given up, at most 10,000 and for 180 days; `at` is when they were buried.

    `DeadSet(app)` is of the class that the app's broker brings: `StoredDeadSet`, or RabbitMQ's.
    """

    def __new__(cls, app: Celery, *, clock: Callable[[], float] = time.time) -> Self:  # noqa: ARG004 - as __init__
        """Return an object of the class that keeps the dead set of this app."""
        kept_by: type[Any] = _kept_by(app) if cls is DeadSet else cls
        made: Self = super().__new__(kept_by)
        return made

    def kill(self, *jobs: Job) -> int:
        """Nothing: they are dead."""
        return 0 * len(jobs)

    def kill_all(self) -> int:
        """Nothing: they are dead."""
        return 0


class StoredDeadSet(DeadSet, StoredJobSet):
    """The dead set of an app on Redis or in memory; raise NoSidekiqError for one that keeps no sets."""

    name = sets.DEAD
    reads = read.buried

    def __init__(self, app: Celery, *, clock: Callable[[], float] = time.time) -> None:
        if serves(app) and not is_in_memory(app):
            raise NoSidekiqError("this app keeps no sets: call Sidekiq(app) where it is made")
        super().__init__(app, clock=clock)


def _kept_by(app: Celery) -> type[Any]:
    return StoredDeadSet if is_in_memory(app) else dead_set_of(app) or StoredDeadSet


def _movable(job: Job) -> bool:
    return job.problem is None and job.message is not None


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == sets.BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
