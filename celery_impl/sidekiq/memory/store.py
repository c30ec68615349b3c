"""The sets of an app whose broker is in memory, in the same memory; see `jobs.job_store`.

1. What has an ETA goes into `schedule` or, with retries, into `retry` (`defer`), as in Redis.
2. A thread that lives while anything waits there queues what is due, through the app's own producer.
3. A process that runs the app elsewhere sees none of it, and nothing survives the process.

`memory_store(app)` is the store of an app that runs in this process or has a broker in memory, None for
another. A run of `inprocess.celery` has a store of its own for as long as it lasts, which its reports name.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from celery import Celery
from kombu.utils.json import dumps

from celery_impl.sidekiq.jobs.entry_format import DeadJob, UnreadableError, entry, queue_name, split
from celery_impl.sidekiq.memory.capturing_producer import CapturingProducer
from celery_impl.sidekiq.memory.locks import MemoryLimits, MemoryLocks
from celery_impl.sidekiq.redis.sets import DEAD, DEAD_AGE_S, DEAD_LIMIT, DEATHS_AGE_S, RETRY, SCHEDULE
from celery_impl.sidekiq.redis.transport import ETA_PROPERTY, due_at
from celery_impl.sidekiq.redis.unique_lua import HEADER

#: Seconds until a job that could not be queued is tried again.
TRY_AGAIN_S: Final = 1.0
#: Finds the lock of a unique job in an entry, as `unique_lua.RELEASE` does.
_LOCK: Final = re.compile(rf'"{HEADER}": ?"([0-9a-f]+):([^"\\]+)"'.encode())

logger = logging.getLogger(__name__)


class MemoryStore:
    """See the module. Any thread.

    With `defers` false nothing is kept back: what has an ETA is sent as Celery sends it.
    """

    def __init__(self, app: Celery, *, defers: bool = True) -> None:
        self.defers = defers
        self.locks = MemoryLocks()
        self.limits = MemoryLimits()
        self._app = weakref.ref(app)
        self._sets: dict[str, dict[bytes, float]] = {SCHEDULE: {}, RETRY: {}, DEAD: {}}
        self._deaths: dict[str, tuple[int, float]] = {}
        self._guard = threading.RLock()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def producer(self) -> CapturingProducer:
        """Return a producer for one use, which defers what has an ETA and queues the rest."""
        return CapturingProducer(self.defer, self.bury)

    def defer(self, queue_key: str, message: dict[str, Any]) -> None:
        """Keep a message until its ETA; queue one that is due."""
        now, due = time.time(), due_at(message)
        message["properties"]["enqueued_at"] = max(now, due or now)
        message["properties"][ETA_PROPERTY] = message["headers"]["eta"]
        message["headers"]["eta"] = None
        text = dumps(message)
        if due is None or due <= now:
            self._queue(queue_key, text)
            return
        name = RETRY if message["headers"].get("retries") else SCHEDULE
        self._add(name, entry(queue_key, text).encode(), due)

    def bury(self, dead_job: DeadJob) -> None:
        """Put a job into the dead set and drop what is too old or too many there."""
        with self._guard:
            dead = self._sets[DEAD]
            dead[dead_job.dumps().encode()] = dead_job.buried_at
            kept = [item for item in self.each(DEAD) if item[1] > dead_job.buried_at - DEAD_AGE_S]
            self._sets[DEAD] = dict(reversed(kept[:DEAD_LIMIT]))

    def count_death(self, job_id: str) -> int:
        """Remember that a job was lost with its process and return how often it was in the last 72 hours."""
        now = time.time()
        with self._guard:
            self._deaths = {key: known for key, known in self._deaths.items() if known[1] > now}
            count = self._deaths.get(job_id, (0, 0.0))[0] + 1
            self._deaths[job_id] = (count, now + DEATHS_AGE_S)
            return count

    # What JobStore promises.

    def each(self, name: str) -> Iterator[tuple[bytes, float]]:
        """As JobStore."""
        with self._guard:
            found = list(self._sets[name].items())
        return iter(sorted(found, key=lambda item: (item[1], item[0]), reverse=True))

    def size(self, name: str) -> int:
        """As JobStore."""
        return len(self._sets[name])

    def lowest(self, name: str) -> float | None:
        """As JobStore."""
        with self._guard:
            return min(self._sets[name].values(), default=None)

    def containing(self, name: str, text: str) -> Iterator[tuple[bytes, float]]:
        """As JobStore."""
        return (item for item in self.each(name) if text.encode() in item[0])

    def requeue(self, name: str, jobs: Iterable[tuple[bytes, str, str]]) -> int:
        """As JobStore."""
        return sum(self._requeue(name, *job) for job in jobs)

    def kill(self, name: str, dead_jobs: Iterable[tuple[bytes, str]], *, now: float) -> int:  # noqa: ARG002 - each job has its time
        """As JobStore."""
        taken = 0
        for member, dead_job in dead_jobs:
            if self._taken(name, member):
                self._release(member)
                self.bury(DeadJob.loads(dead_job))
                taken += 1
        return taken

    def delete(self, name: str, members: Iterable[bytes]) -> int:
        """As JobStore."""
        found = [member for member in members if self._taken(name, member)]
        for member in found:
            self._release(member)
        return len(found)

    def clear(self, name: str) -> int:
        """As JobStore."""
        return self.delete(name, [member for member, _ in self.each(name)])

    # What a run of inprocess.celery takes of it.

    def waiting(self) -> Sequence[Mapping[str, Any]]:
        """Return the headers of the messages that wait for their time."""
        found = []
        for member, _ in (*self.each(SCHEDULE), *self.each(RETRY)):
            try:
                found.append(json.loads(split(member.decode())[1])["headers"])
            except (UnreadableError, ValueError):
                continue
        return found

    def due_in_s(self) -> float | None:
        """Return the seconds until the next message is due; None where none waits."""
        due = self._next_due()
        return None if due is None else max(0.0, due - time.time())

    def close(self) -> None:
        """Forget what waits, and end the thread."""
        with self._guard:
            self._sets[SCHEDULE].clear()
            self._sets[RETRY].clear()
        self._woken.set()

    def _add(self, name: str, member: bytes, at: float) -> None:
        with self._guard:
            self._sets[name][member] = at
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=_promote_all,
                    args=(weakref.ref(self), self._woken),
                    name="sidekiq-memory",
                    daemon=True,
                )
                self._thread.start()
        self._woken.set()

    def _taken(self, name: str, member: bytes) -> bool:
        with self._guard:
            return self._sets[name].pop(member, None) is not None

    def _requeue(self, name: str, member: bytes, queue_key: str, message: str) -> bool:
        with self._guard:
            at = self._sets[name].pop(member, None)
        if at is None:
            return False
        try:
            self._queue(queue_key, message)
        except BaseException:
            with self._guard:
                self._sets[name][member] = at
            raise
        return True

    def _queue(self, queue_key: str, text: str) -> None:
        """Send a message again to its queue."""
        app = self._app()
        if app is None:
            return
        message = json.loads(text)
        properties = message["properties"]
        with app.producer_or_acquire() as producer:
            producer.publish(
                base64.b64decode(message["body"]),
                exchange="",
                routing_key=queue_name(queue_key),
                content_type=message["content-type"],
                content_encoding=message["content-encoding"],
                headers=message["headers"],
                retry=False,
                **{
                    name: properties[name]
                    for name in ("priority", "reply_to", "correlation_id", ETA_PROPERTY)
                    if properties.get(name) is not None
                },
            )

    def _release(self, member: bytes) -> None:
        """Free the place of a unique job."""
        found = _LOCK.search(member)
        if found is not None:
            self.locks.free(found[1].decode(), found[2].decode())

    def _next_due(self) -> float | None:
        times = [at for at in (self.lowest(SCHEDULE), self.lowest(RETRY)) if at is not None]
        return min(times, default=None)

    def _promote(self) -> float | None:
        """Queue what is due; return the seconds until the next is, None to end the thread: nothing waits."""
        now = time.time()
        for name in (SCHEDULE, RETRY):
            due = [(at, member) for member, at in self.each(name) if at <= now]
            for _, member in sorted(due):
                try:
                    self._requeue(name, member, *split(member.decode()))
                except Exception:
                    logger.exception("a job that is due could not be queued; it is tried again")
                    with self._guard:
                        self._sets[name][member] = now + TRY_AGAIN_S
        with self._guard:
            left_s = self.due_in_s()
            if left_s is None:
                self._thread = None
            return left_s


def _promote_all(store: weakref.ref[MemoryStore], woken: threading.Event) -> None:
    """Queue what is due for as long as anything waits."""
    while True:
        woken.clear()
        alive = store()
        wait_s = alive._promote() if alive is not None else None  # noqa: SLF001 - ours
        del alive  # the store may go while this waits
        if wait_s is None:
            return
        woken.wait(wait_s)


_stores: Final[weakref.WeakKeyDictionary[Celery, MemoryStore]] = weakref.WeakKeyDictionary()
_making: Final = threading.Lock()


def keep_in_memory(app: Celery) -> None:
    """Give the app a store in memory: its broker is there."""
    _stores[app] = MemoryStore(app)


def memory_store(app: Any) -> MemoryStore | None:
    """Return the store of an app that runs in this process or whose broker is in memory; else None.

    In `testing` there is none: the test has the jobs.
    """
    amqp = vars(app).get("amqp") or app.amqp
    try:
        kept: MemoryStore | None = amqp.kept_jobs  # a run of inprocess.celery
    except AttributeError:
        return None if hasattr(amqp, "testing_jobs") else _stores.get(app)
    if kept is None:
        with _making:
            kept = amqp.kept_jobs = amqp.kept_jobs or MemoryStore(app, defers=amqp.keeps_jobs)
    return kept
