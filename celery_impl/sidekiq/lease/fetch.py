"""The commands of a consuming channel: fetch jobs, and if there are none, wait for the signal.

1. FETCH moves as many jobs as the window has room for from their queues to the holder and returns them.
2. Where there are none, the channel waits for the signal of one of its queues, and fetches again. Whoever
   queues a job sets the signal afterwards, so either step 1 sees the job or step 2 gets the signal. A fetch
   that leaves jobs behind sets it for the others.
3. One worker gets the signal and may die then, and not every sender sets it (stock Celery does not): so no
   worker waits for longer than the transport's `polling_interval`, by default 1 s.

Acknowledgements that are noted go before FETCH, in the same packet, and are answered with it. Who runs no job
while it waits sends the next FETCH behind the wait (`at_once`): the broker runs it when the wait ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import redis
from kombu.utils.json import loads as loads_typed

from celery_impl.sidekiq.lease import scripts
from celery_impl.sidekiq.lease.holder import Holder
from celery_impl.sidekiq.lease.pipelined_commands import packed, packed_parts
from celery_impl.sidekiq.redis.queue_signal import SEPARATOR, signal_key

#: Jobs of one fetch where the window has no limit.
BATCH: Final = 100
#: Orders of the queues for which the command is kept.
ORDERS: Final = 100
#: What stands in JSON with values of kombu's own types, which the decoder of Python does not know.
TYPED: Final = b'"__type__"'


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
        #: Whether the next command waits, or the last one has while its answer is not read.
        self.listens = False
        self._behind = False
        self._known = False
        self._halves: dict[tuple[str, ...], tuple[bytes, bytes]] = {}
        self._riding: tuple[int, ...] = ()

    def send(
        self,
        connection: Any,
        queues: Sequence[str],
        keys: Callable[[Sequence[str]], Sequence[tuple[str, str]]],
        *,
        room: int,
        wait_s: float,
        at_once: bool = False,
    ) -> None:
        """Send the next command; `keys` returns pairs of key and queue's name in the order to look."""
        holder = self._holder
        if self.listens:
            prefix = holder.leases.prefix
            packet = packed([("BZPOPMIN", *(signal_key(prefix + queue) for queue in queues), wait_s)])
            holder.send_noted()  # an answer to it would be read, and the wait's with it
            self._behind = at_once
            if at_once:
                packet += self._packet(tuple(queues), keys, room)
        else:
            packet = self._packet(tuple(queues), keys, room)
            self._riding = holder.take_noted()
            if self._riding:
                packet = packed([("HDEL", holder.key, *self._riding)]) + packet
        connection.send_packed_command([packet])

    def _packet(
        self,
        queues: tuple[str, ...],
        keys: Callable[[Sequence[str]], Sequence[tuple[str, str]]],
        room: int,
    ) -> bytes:
        """FETCH, in which only the next number and the room change from one to the next."""
        holder = self._holder
        if not self._known:
            arguments = holder.leases.fetch_arguments(holder.id, holder.next, room, keys(queues))
            return packed([("EVAL", scripts.FETCH.text, *arguments)])
        if queues not in self._halves:
            pairs = keys(queues)
            command = ("EVALSHA", scripts.FETCH.sha, *holder.leases.fetch_arguments(holder.id, 0, 0, pairs))
            names = len(pairs)
            before = b"*%d\r\n%b" % (len(command), packed_parts(command[: -names - 2]))
            if len(self._halves) >= ORDERS:
                self._halves.clear()
            self._halves[queues] = before, packed_parts(command[-names:])
        before, after = self._halves[queues]
        return before + packed_parts((holder.next, room)) + after

    def read(self, connection: Any) -> list[Job]:
        """Return the jobs in the answer to the last command; raise redis-py's errors."""
        if self._riding:
            connection.read_response()
            self._holder.confirmed(self._riding)
            self._riding = ()
        try:
            answer = connection.read_response()
            if self.listens and self._behind:
                answer = connection.read_response()
            elif self.listens:
                self.listens = False
                return []
        except redis.exceptions.NoScriptError:  # a broker that has started again
            self._known = self.listens = False
            return []
        self._known = True
        self.listens = not answer
        return self._taken(answer)

    def read_unused(self, connection: Any) -> None:
        """Read what a fetch answers, and give it to nobody; what it brought is held. A wait is broken off."""
        if self.listens:
            connection.disconnect()
            return
        if self._riding:
            connection.read_response()
        connection.read_response()

    def lost(self) -> None:
        """Note that the connection is lost, and the answer with it; the next fetch returns the same jobs."""
        self.listens = False
        self._riding = ()

    def _taken(self, entries: list[bytes]) -> list[Job]:
        first = self._holder.next
        self._holder.next += len(entries)
        jobs = (self._job(number, entry) for number, entry in enumerate(entries, first))
        return [job for job in jobs if job]

    def _job(self, number: int, entry: bytes) -> Job | None:
        key, _, text = entry.partition(b"\n")
        try:
            message = (loads_typed if TYPED in text else json.loads)(text.decode())
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
