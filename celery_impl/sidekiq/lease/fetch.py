"""The commands of a consuming channel: fetch jobs, and if there are none, wait for the signal.

1. FETCH moves as many jobs as the window has room for from their queues to the holder and returns them.
2. Where there are none, the channel waits for the signal of one of its queues, and fetches again. Whoever
   queues a job sets the signal afterwards, so either step 1 sees the job or step 2 gets the signal. A fetch
   that leaves jobs behind sets it for the others.
3. One worker gets the signal and may die then, and not every sender sets it (stock Celery does not): so no
   worker waits for longer than the transport's `polling_interval`, by default 1 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import redis
from kombu.utils.json import loads

from celery_impl.sidekiq.lease import scripts
from celery_impl.sidekiq.lease.holder import Holder
from celery_impl.sidekiq.lease.pipelined_commands import Command
from celery_impl.sidekiq.redis.queue_signal import SEPARATOR, signal_key

#: Jobs of one fetch where the window has no limit.
BATCH: Final = 100


class Job(NamedTuple):
    """A job that was fetched: the name of its queue, the message, and the entry as it was."""

    queue: str
    message: dict[str, Any]
    entry: bytes


class Fetch:
    """The commands and answers of one channel. `bury(entry, error)` takes an entry that is no message."""

    def __init__(self, holder: Holder, *, bury: Callable[[bytes, Exception], object]) -> None:
        self._holder = holder
        self._bury = bury
        self._listens = False
        self._known = False

    @property
    def may_bring_jobs(self) -> bool:
        """Whether the last command was a fetch."""
        return not self._listens

    def command(
        self, queues: Sequence[str], keys: Sequence[tuple[str, str]], room: int, wait_s: float
    ) -> Command:
        """Return what to send next; `keys` are pairs of key and queue's name in the order to look."""
        prefix = self._holder.leases.prefix
        if self._listens:
            return ("BZPOPMIN", *(signal_key(prefix + queue) for queue in queues), wait_s)
        arguments = self._holder.leases.fetch_arguments(self._holder.id, self._holder.next, room, keys)
        if self._known:
            return ("EVALSHA", scripts.FETCH.sha, *arguments)
        return ("EVAL", scripts.FETCH.text, *arguments)

    def read(self, connection: Any) -> Iterator[Job]:
        """Return the jobs in the answer to the last command; raise redis-py's errors."""
        try:
            answer = connection.read_response()
        except redis.exceptions.NoScriptError:  # a broker that has started again
            self._known = False
            return iter(())
        if self._listens:
            self._listens = False
            return iter(())
        self._known = True
        self._listens = not answer
        return self._taken(answer)

    def lost(self) -> None:
        """Note that the connection is lost, and the answer with it; the next fetch returns the same jobs."""
        self._listens = False

    def _taken(self, entries: list[bytes]) -> Iterator[Job]:
        first = self._holder.next
        self._holder.next += len(entries)
        jobs = (self._job(number, entry) for number, entry in enumerate(entries, first))
        return iter([job for job in jobs if job])

    def _job(self, number: int, entry: bytes) -> Job | None:
        key, _, text = entry.partition(b"\n")
        try:
            message = loads(text.decode())
            message["properties"]["delivery_tag"] = self._holder.tag(number)
            _ = message["headers"].get, message["properties"]["delivery_info"]["exchange"]
        except Exception as error:  # noqa: BLE001 - whatever stands in a queue, it must not stop the worker
            self._bury(entry, error)
            self._holder.acknowledge(self._holder.tag(number))
            return None
        if message.pop("redelivered", False):
            message["headers"]["redelivered"] = True
            message["properties"]["delivery_info"]["redelivered"] = True
        return Job(self._queue(key.decode()), message, entry)

    def _queue(self, key: str) -> str:
        return key.removeprefix(self._holder.leases.prefix).rsplit(SEPARATOR, 1)[0]
