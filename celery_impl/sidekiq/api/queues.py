"""A queue: how long it is, how old its oldest job, what stands in it, whether workers may take from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from celery import Celery

from celery_impl.sidekiq.api import job as read
from celery_impl.sidekiq.api.job import Job
from celery_impl.sidekiq.api.job_moves import queue_again, to_dead_jobs
from celery_impl.sidekiq.lease.lease_store import PAUSED
from celery_impl.sidekiq.redis.queue_signal import SIGNAL
from celery_impl.sidekiq.redis.set_moves import Source
from celery_impl.sidekiq.redis.set_pages import PAGE
from celery_impl.sidekiq.redis.store import Store

#: Between the parts of an entry of kombu's bindings: routing key, pattern, queue.
_SEPARATOR: Final = "\x06\x16"
#: How the names of the queues of remote control and events begin or end: nobody's jobs.
_INTERNAL: Final = ("celeryev.", ".pidbox")

# New jobs come in on the left and are taken on the right. A page begins behind the last job of the page
# before that is still there; without any, at the place where that page began.
_PAGE: Final = """
local start = tonumber(ARGV[2])
for i = 3, #ARGV do
    local place = redis.call('LPOS', KEYS[1], ARGV[i])
    if place then start = place + 1 break end
end
local page = redis.call('LRANGE', KEYS[1], start, start + ARGV[1] - 1)
return {start, page}
"""


class Queue:
    """One queue with all its priorities; iterating goes newest first, the most urgent priority first.

    What stays in the queue is seen; where a whole page is taken away meanwhile, a job may be seen twice.
    """

    def __init__(self, app: Celery, name: str, *, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self._store = Store.of(app, "Queue")
        self._clock = clock
        self._page = self._store.client.register_script(_PAGE)

    @classmethod
    def all(cls, app: Celery) -> list[Queue]:
        """Return the queues that the app is configured for and those that are declared on the broker."""
        names = {*app.amqp.queues, *_declared(Store.of(app, "Queue"))}
        return [cls(app, name) for name in sorted(names) if not _is_internal(name)]

    def __iter__(self) -> Iterator[Job]:
        """Every job, also what cannot be read (`problem`)."""
        for key in self._store.queue_keys(self.name):
            source = Source(key, is_list=True)
            yield from (read.queued(source, member) for member in self._members(key))

    def __len__(self) -> int:
        """As `size`."""
        return self.size()

    def size(self) -> int:
        """Return how many jobs wait in the queue; those that a worker has taken do not count."""
        with self._store.client.pipeline(transaction=False) as pipe:
            for key in self._keys():
                pipe.llen(key)
            return sum(pipe.execute())

    def latency(self) -> float:
        """Return the seconds for which the oldest job waits; 0.0 if there is none or its time is unknown."""
        now = self._clock()
        return max((max(0.0, now - at) for at in map(self._oldest, self._keys()) if at), default=0.0)

    def find(self, job_id: str) -> Job | None:
        """Return the job with this id, or None; looks at the whole queue."""
        return next((job for job in self if job.id == job_id), None)

    def delete(self, *jobs: Job) -> int:
        """Delete these jobs; return how many were still in the queue."""
        return sum(self._store.moves.delete(job.source, [job.member]) for job in jobs)

    def kill(self, *jobs: Job) -> int:
        """Put these jobs into the dead set; return how many were still in the queue."""
        now = self._clock()
        return sum(self._store.moves.bury(job.source, to_dead_jobs([job], now), now=now) for job in jobs)

    def retry(self, *jobs: Job) -> int:
        """Put these jobs at the end of the queue, as if they came now."""
        return sum(self._store.moves.queue(job.source, queue_again([job], self._clock())) for job in jobs)

    def clear(self) -> int:
        """Delete all that wait, in one step; return how many there were."""
        keys = self._store.queue_keys(self.name)
        return self._store.moves.clear(*(Source(key, is_list=True) for key in keys))

    def pause(self) -> None:
        """Let no worker take a job until `resume`, whatever is started or stopped; what runs goes on.

        Workers of the lease transport obey (`obeyed`); others know no pause.
        """
        self._store.client.sadd(self._store.prefix + PAUSED, self.name)

    def resume(self) -> None:
        """End a pause; workers hear of it at once."""
        prefix = self._store.prefix
        self._store.client.srem(prefix + PAUSED, self.name)
        self._store.client.eval(f"{SIGNAL} signal(KEYS[1])", 1, prefix + self.name)

    @property
    def obeyed(self) -> bool:
        """Whether the workers of this app's transport know a pause."""
        return self._store.sets.signals

    def paused(self) -> bool:
        """Return whether the queue is paused."""
        return bool(self._store.client.sismember(self._store.prefix + PAUSED, self.name))

    def _keys(self) -> list[str]:
        return [self._store.prefix + key for key in self._store.queue_keys(self.name)]

    def _oldest(self, key: str) -> float | None:
        member: Any = self._store.client.lindex(key, -1)
        return read.queued(Source(key, is_list=True), member).at if member else None

    def _members(self, key: str) -> Iterator[bytes]:
        start, seen = 0, list[bytes]()
        while True:
            answer: Any = self._page(keys=[self._store.prefix + key], args=[PAGE, start, *reversed(seen)])
            start, seen = answer
            yield from seen
            if len(seen) < PAGE:
                return


def _declared(store: Store) -> Iterator[str]:
    for key in store.client.scan_iter(match=f"{store.prefix}_kombu.binding.*", count=1000, _type="set"):
        entries: Any = store.client.smembers(key)
        yield from (entry.decode().rsplit(_SEPARATOR, 1)[-1] for entry in entries)


def _is_internal(name: str) -> bool:
    return not name or name.startswith(_INTERNAL) or name.endswith(_INTERNAL)
