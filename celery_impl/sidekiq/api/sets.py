"""The retry, scheduled and dead sets: look, find, and act on one job, some or all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Final, Self

from celery import Celery

from celery_impl.sidekiq.api import job as read
from celery_impl.sidekiq.api.job import Job
from celery_impl.sidekiq.api.job_moves import queue_again, to_graves
from celery_impl.sidekiq.rabbitmq import serves as serves_rabbitmq
from celery_impl.sidekiq.redis import sets
from celery_impl.sidekiq.redis.set_moves import Source
from celery_impl.sidekiq.redis.store import Store

#: Characters that mean something in a pattern of Redis.
_SPECIAL: Final = frozenset("*?[]\\^-")


class JobSet:
    """A set of jobs. Iterating goes newest first, in pages: what stays in the set is seen exactly once."""

    name: ClassVar[str]
    reads: ClassVar[Callable[[Source, bytes, float], Job]] = read.waiting

    def __init__(self, app: Celery, *, clock: Callable[[], float] = time.time) -> None:
        self._store = Store.of(app, type(self).__name__)
        self._clock = clock
        self._source = Source(self.name)

    def __iter__(self) -> Iterator[Job]:
        """Every job, also those that cannot be read (`problem`)."""
        for member, at in self._store.pages.each(self.name):
            yield type(self).reads(self._source, member, at)

    def __len__(self) -> int:
        """As `size`."""
        return self.size()

    def size(self) -> int:
        """How many jobs are in the set."""
        return int(self._store.client.zcard(self._key))

    def latency(self) -> float:
        """Seconds by which the job with the lowest score is late or old; 0.0 where there is none."""
        first: list[tuple[bytes, float]] = self._store.client.zrange(self._key, 0, 0, withscores=True)  # type: ignore[assignment] # the client blocks
        return max(0.0, self._clock() - first[0][1]) if first else 0.0

    def find(self, job_id: str) -> Job | None:
        """The job with this id, or None; looks at the whole set."""
        wanted = "".join(
            f"\\{letter}" if letter in _SPECIAL else letter for letter in json.dumps(job_id)[1:-1]
        )
        if job_id.startswith("?"):  # of what cannot be read; it stands in no entry
            return next((job for job in self if job.id == job_id), None)
        for member, at in self._store.client.zscan_iter(self._key, match=f"*{wanted}*", count=1000):
            job = type(self).reads(self._source, member, at)
            if job.id == job_id:
                return job
        return None

    def retry(self, *jobs: Job) -> int:
        """Queue these jobs now; return how many were still in the set. Raise UnreadableError before any."""
        return self._store.moves.queue(self._source, queue_again(jobs, self._clock()))

    def kill(self, *jobs: Job) -> int:
        """Put these jobs into the dead set; as `retry`."""
        now = self._clock()
        return self._store.moves.bury(self._source, to_graves(jobs, now), now=now)

    def delete(self, *jobs: Job) -> int:
        """Delete these jobs, readable or not; return how many were still in the set."""
        return self._store.moves.delete(self._source, [job.member for job in jobs])

    def retry_all(self) -> int:
        """Queue every job that can be read and is in the set now; return how many."""
        return self._all(self.retry)

    def kill_all(self) -> int:
        """Put every job that can be read and is in the set now into the dead set; return how many."""
        return self._all(self.kill)

    def clear(self) -> int:
        """Delete all, readable or not, in one step; return how many there were."""
        return self._store.moves.clear(self._source)

    @property
    def _key(self) -> str:
        return f"{self._store.prefix}{self.name}"

    def _all(self, act: Callable[..., int]) -> int:
        return sum(act(*batch) for batch in _batches(job for job in self if _movable(job)))


class RetrySet(JobSet):
    """Jobs that failed and wait for their next run; `at` is when they are due."""

    name = sets.RETRY


class ScheduledSet(JobSet):
    """Jobs with a countdown or an ETA; `at` is when they are due."""

    name = sets.SCHEDULE


class DeadSet(JobSet):
    """Jobs that were given up, at most 10,000 and for 180 days; `at` is when they were buried."""

    name = sets.DEAD
    reads = read.buried

    def __new__(cls, app: Celery, *, clock: Callable[[], float] = time.time) -> Self:  # noqa: ARG004 - as __init__
        """On RabbitMQ, the dead set that is a queue there."""
        if serves_rabbitmq(app):
            from celery_impl.sidekiq.rabbitmq.dead_set import RabbitDeadSet  # late: it is a DeadSet

            return super().__new__(RabbitDeadSet)  # type: ignore[return-value] # it is one
        return super().__new__(cls)

    def kill(self, *jobs: Job) -> int:
        """Nothing: they are dead."""
        return 0 * len(jobs)


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
