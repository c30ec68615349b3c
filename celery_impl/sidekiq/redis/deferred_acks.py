"""Acknowledgements that a worker could not send, and sends once the broker answers: done, or given back.

kombu forgets both. An acknowledgement that fails leaves a finished job in the worker's window for as long as
the connection lives, so a broker that is silent for a second costs a worker with two places both of them, and
it fetches nothing more. A message that was popped, but not yet noted as unacknowledged, would be lost. Here
both are deferred:

1. The job leaves the window at once, so that the next one can be fetched.
2. The maintenance thread sends what is deferred as soon as the broker answers, on a connection of its own.
3. If the message was delivered again before, it runs twice: at least once, as promised.

A job that runs when the connection is lost runs on: it is not given back, its lease is renewed over the next
connection before that looks for what has timed out, and its acknowledgement is deferred like any other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from kombu.transport import redis, virtual

from celery_impl.sidekiq.redis.sets import Sets

logger = logging.getLogger(__name__)

#: Sends one acknowledgement through the channel that it is given.
DeferredAck = Callable[[Any], None]


class DeferredAcks:
    """What one worker has yet to acknowledge, oldest first; it outlives the worker's connections.

    `running` returns the delivery tags of the jobs that run, whichever connection they came by.
    """

    def __init__(self, running: Callable[[], Collection[str]]) -> None:
        self.running = running
        self._pending: deque[DeferredAck] = deque()
        self._flushing = threading.Lock()

    def add(self, ack: DeferredAck) -> None:
        """Defer an acknowledgement."""
        self._pending.append(ack)

    def flush(self, channel: Any) -> None:
        """Send all; raise the first error of the broker and keep the rest for the next call."""
        with self._flushing:
            while self._pending:
                self._pending[0](channel)
                self._pending.popleft()


class QoS(redis.QoS):
    """The messages that a channel holds; with `channel.deferred` no lost connection keeps one of them."""

    channel: Any
    _delivered: Any
    _dirty: set[str]
    unacked_index_key: str

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was fetched; where that fails, defer giving it back and raise the error."""
        try:
            super().append(message, delivery_tag)
        except self.channel.connection_errors:
            self._defer(partial(_give_back, tag=delivery_tag, message=message))
            raise

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge, now or as soon as the broker answers."""
        if not self._sent(partial(super().ack, delivery_tag)):
            self._defer(partial(_forget, tag=delivery_tag))
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Give back or drop; what cannot be given back now is delivered again by the visibility timeout."""
        if not self._sent(partial(super().reject, delivery_tag, requeue=requeue)):
            if not requeue:
                self._defer(partial(_forget, tag=delivery_tag))
            virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Look for what has timed out, after sending what is deferred and renewing what runs here."""
        if self.channel.deferred is None:
            return
        self.channel.deferred.flush(self.channel)
        self.renew(self.channel.sets)
        super().restore_visible(*args, **options)

    def renew(self, sets: Sets) -> None:
        """Renew, through `sets`, the lease on what waits or runs in this worker."""
        waiting = [tag for tag in list(self._delivered) if tag not in self._dirty]
        if tags := {*waiting, *self.channel.deferred.running()}:
            sets.renew(self.unacked_index_key, list(tags), time.time())

    def restore_unacked(self, client: Any = None) -> None:
        """Give back what does not run, or leave it to the visibility timeout where the broker is gone."""
        for tag in self.channel.deferred.running() if self.channel.deferred is not None else ():
            self._delivered.pop(tag, None)
        try:
            super().restore_unacked(client)
        except self.channel.connection_errors:
            self._delivered.clear()

    def _sent(self, send: Callable[[], object]) -> bool:
        if self.channel.closed:
            return False
        try:
            send()
        except self.channel.connection_errors:
            if self.channel.deferred is None:
                raise
            logger.warning("the broker does not answer: it is told later that a job has ended")
            return False
        return True

    def _defer(self, ack: DeferredAck) -> None:
        if self.channel.deferred is not None:
            self.channel.deferred.add(ack)


def _forget(channel: Any, *, tag: str) -> None:
    channel.qos._remove_from_indices(tag).execute()  # noqa: SLF001 - pinned by a test


def _give_back(channel: Any, *, tag: str, message: Any) -> None:
    where = message.delivery_info

    def swap(pipe: Any) -> None:
        pipe.multi()
        channel.qos._remove_from_indices(tag, pipe)  # noqa: SLF001 - pinned by a test
        channel._do_restore_message(message._raw, where["exchange"], where["routing_key"], pipe)  # noqa: SLF001 - pinned by a test

    with channel.conn_or_acquire() as client:
        client.transaction(swap)
