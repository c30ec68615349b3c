"""Unique jobs: one job at a time of a task with the same arguments; a second one gets the first one's id.

    @app.task(sidekiq_unique="until_done", sidekiq_unique_for=600)
    def import_orders(shop): ...

    first = import_orders.delay("s1")
    again = import_orders.delay("s1")  # sends nothing
    assert isinstance(again, Duplicate) and again.id == first.id

As in Sidekiq Enterprise the lock is held `until_done` (its `success`) or `until_start`, for at most
`sidekiq_unique_for` seconds, and a duplicate is no error: there `perform_async` returns nil, here `delay`
returns the `Duplicate` of the job that has the place. `sidekiq_unique_conflict="raise"` raises NotUnique
instead. Where the caller has chosen the job's id, as a chain, group or chord does, NotUnique is raised in any
case: nobody would ever finish the id that is waited for.

**What is the same.** The task's name and its arguments as they were passed: f(1) and f(x=1) differ.

**How long.** The time runs from the moment at which the job may run (its ETA, where it has one), anew when it
starts and when it is retried. A job that waits or runs for longer loses its place, and a second one may come
in. In Sidekiq Enterprise the lock of a job that dies stays until its time is over; here it is freed when
the job is given up, discarded, revoked or expired, and when a person deletes or kills it in a set or a queue.
A person who retries a dead job is not refused; the job takes its place again if that is free.

**The steps**, and what a kill between them does:

1. The sender takes the lock for the job's id. 2. It sends the job. Between: the lock stays until its time is
   over. Where sending fails, the lock is freed; where the broker is silent it cannot be, and stays likewise.
3. A worker takes the job. `until_start`: the lock is freed, then the job runs. Between: the job is delivered
   again and a second one may wait meanwhile. `until_done`: the lock's time begins anew.
4. A kill while it runs: the lock stays the job's, since its id is; redelivery finds it or takes it again.
5. The job fails: it is sent again under its id, which renews the lock. 6. It ends: the lock is freed, and
   then the message is acknowledged. Between: the job runs once more although a second one may have come in.

Only its owner frees a lock: the check and the deletion are one step. Uniqueness spares work and is no mutual
exclusion: for that, take a lock in the database.
`app.send_task` by name, `testing` and eager mode know no uniqueness. Without the broker a unique job is
refused.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import redis
from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from kombu.utils.json import dumps, loads

from celery_impl.sidekiq.jobs.entry_format import DeadJob
from celery_impl.sidekiq.limits import client as asking
from celery_impl.sidekiq.memory.locks import MemoryLocks
from celery_impl.sidekiq.memory.store import memory_store
from celery_impl.sidekiq.redis import unique_lua
from celery_impl.sidekiq.redis.server_clock import time_argument
from celery_impl.sidekiq.redis.unique_lua import UNIQUE

Until = Literal["until_start", "until_done"]
Conflict = Literal["return", "raise"]

UNTIL_START: Final = "until_start"
UNTIL_DONE: Final = "until_done"
#: Seconds for which a place is kept, unless the task says otherwise.
UNIQUE_FOR_S: Final = 3600.0

logger = logging.getLogger(__name__)


class NotUnique(RuntimeError):  # noqa: N818 - the condition is its name, as in Sidekiq
    """A job of this task with the same arguments has the place; `holder` is its id."""

    def __init__(self, task: str, holder: str) -> None:
        super().__init__(task, holder)
        self.task = task
        self.holder = holder

    def __str__(self) -> str:
        """What happened, and to which task."""
        return f"{self.task}: job {self.holder} with the same arguments is queued or running"


class Duplicate(AsyncResult):  # type: ignore[type-arg] # celery-types knows a parameter, Celery does not
    """What `delay` returns where nothing was sent: the result of the job that has the place (`id`)."""


class UniqueOptionError(ValueError):
    """An option of a unique task cannot be used; the text names it and what is expected."""


class Locks:
    """The locks of one broker. Times are ms; `now` is for tests, and otherwise the server's clock counts."""

    def __init__(self, client: redis.Redis, *, prefix: str = "") -> None:
        self._prefix = prefix
        self._take = client.register_script(unique_lua.TAKE)
        self._free = client.register_script(unique_lua.FREE)
        self._holder = client.register_script(unique_lua.HOLDER)

    def take(self, digest: str, job_id: str, for_ms: int, *, now: int | None = None) -> str | None:
        """Take the lock or renew it, never shortening it; return the id of the other job that holds it."""
        return _text(self._take(keys=[self._key(digest)], args=[time_argument(now), job_id, for_ms]))

    def free(self, digest: str, job_id: str) -> bool:
        """Free the lock where this job holds it; return whether it did."""
        return bool(self._free(keys=[self._key(digest)], args=["", job_id]))

    def holder(self, digest: str, *, now: int | None = None) -> str | None:
        """Return the id of the job that holds the lock, or None."""
        return _text(self._holder(keys=[self._key(digest)], args=[time_argument(now)]))

    def _key(self, digest: str) -> str:
        return f"{self._prefix}{UNIQUE}{digest}"


def digest(task: str, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None) -> str:
    """Return what names the lock: the same for the sender's arguments and for those that a worker gets."""
    sent = loads(dumps([task, list(args or ()), dict(kwargs or {})]))
    return hashlib.sha256(dumps(sent, sort_keys=True).encode()).hexdigest()


def holder(task: Any, *args: Any, **kwargs: Any) -> str | None:
    """Return the id of the job that has the place of `task.delay(*args, **kwargs)`, or None.

    Raise redis-py's errors or kombu's OperationalError where the broker is away.
    """
    return _locks(task).holder(digest(task.name, args, kwargs))


def free(task: Any, *args: Any, **kwargs: Any) -> str | None:
    """Free the place of a job that is known to be gone; return the id that had it, or None."""
    found = holder(task, *args, **kwargs)
    if found is None or not _locks(task).free(digest(task.name, args, kwargs), found):
        return None
    return found


def check(task: Any) -> None:
    """Raise UniqueOptionError for options of the task that cannot be used."""
    if task.sidekiq_unique not in (None, UNTIL_START, UNTIL_DONE):
        raise UniqueOptionError(
            f"sidekiq_unique of {task.name} is {task.sidekiq_unique!r}: expected {UNTIL_START!r}, "
            f"{UNTIL_DONE!r} or None"
        )
    if task.sidekiq_unique_conflict not in ("return", "raise"):
        raise UniqueOptionError(
            f"sidekiq_unique_conflict of {task.name} is {task.sidekiq_unique_conflict!r}: "
            "expected 'return' or 'raise'"
        )
    seconds = task.sidekiq_unique_for
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise UniqueOptionError(f"sidekiq_unique_for of {task.name} is {seconds!r}: expected seconds above 0")


def take(
    task: Any, job_id: str, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> tuple[str, str | None]:
    """Take the place for a job that is about to be sent; return its digest and the other job that has it."""
    mark = digest(task.name, args, kwargs)
    try:
        return mark, _locks(task).take(mark, job_id, lock_ms(task, options))
    except (redis.RedisError, OSError) as error:
        raise OperationalError(str(error)) from error


def lock_ms(task: Any, options: Mapping[str, Any]) -> int:
    """Return for how many ms a job that is sent with these options holds its lock at first."""
    return round(1000 * (float(task.sidekiq_unique_for) + _until_due_s(options)))


def begun(task: Any, request: Any) -> None:
    """The job starts: free its lock or let its time begin anew. A broker that is away stops no job."""
    if task.sidekiq_unique == UNTIL_START:
        ended(task, request)
    elif task.sidekiq_unique == UNTIL_DONE:
        try:
            mark = digest(task.name, request.args, request.kwargs)
            _locks(task).take(mark, request.id, round(1000 * task.sidekiq_unique_for))
        except (redis.RedisError, OSError, OperationalError):
            logger.warning("could not renew the unique lock of job %s", request.id, exc_info=True)


def ended(task: Any, request: Any) -> None:
    """The job of the request ends, or is dropped: free its lock, or leave it to its time."""
    forget(task, request.id, request.args, request.kwargs)


def forget(task: Any, job_id: str, args: Any, kwargs: Any) -> None:
    """Free the lock of this job where it has one; a broker that is away is logged."""
    if getattr(task, "sidekiq_unique", None) is None:
        return
    try:
        _locks(task).free(digest(task.name, args, kwargs), job_id)
    except (redis.RedisError, OSError, OperationalError):
        logger.warning("the unique lock of job %s stays until its time is over", job_id, exc_info=True)


def death_handler(app: Any) -> Any:
    """Return a death handler that frees the lock of a job that is given up."""

    def free_lock(job: DeadJob, _error: BaseException) -> None:
        forget(app.tasks.get(job.task), job.id, job.args, job.kwargs)

    return free_lock


def on_revoked(sender: Any = None, request: Any = None, **_: Any) -> None:
    """Celery's signal `task_revoked`: the job was revoked or has expired."""
    ended(sender, request)


def _locks(task: Any) -> Locks | MemoryLocks:
    kept = memory_store(task.app)
    if kept is not None:
        return kept.locks
    return Locks(asking.client(task.app), prefix=asking.prefix(task.app))


def _until_due_s(options: Mapping[str, Any]) -> float:
    if options.get("countdown"):
        return max(0.0, float(options["countdown"]))
    eta = options.get("eta")
    if not eta:
        return 0.0
    when = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
    return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - time.time())


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
