"""kombu's Redis transport, but what has an ETA waits in a sorted set and not in a worker's memory.

Stock Celery delivers an ETA message at once; the worker holds it unacknowledged until it is due, so
an ETA beyond the visibility timeout runs again and again, and a million of them fill the memory.
Here `_put`, kombu's extension point for virtual transports, diverts a message that is not yet due:

1. its `eta` header is removed, so that the worker that receives it runs it at once;
2. it goes into `retry` if it has been retried, else into `schedule`, scored by its ETA;
3. the thread of any worker (`keeper`) queues it when due, in the queue and priority it was sent to.

What it holds while the broker is away is `debts`' concern, and closing never fails for a broker that
is gone: kombu's leaves a channel half closed, and who closes it next ends the worker.

The rest is kombu's. No command is repeated by redis-py, whose default of three repeats would make
a silent broker cost four time-outs, and a late answer two jobs.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from queue import Empty
from typing import Any, Final

import redis as client
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.json import dumps
from redis.backoff import NoBackoff
from redis.retry import Retry

from celery_impl.sidekiq.debts import Debts, QoS
from celery_impl.sidekiq.sets import RETRY, SCHEDULE, Sets, entry

#: What `broker_transport` names.
ALIAS: Final = "sidekiq"


class OneAttempt(client.Connection):
    """A connection whose commands are sent once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "retry": Retry(NoBackoff(), 0)})  # type: ignore[no-untyped-call] # redis-py's


class OneAttemptTLS(client.SSLConnection):
    """As `OneAttempt`, over TLS."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "retry": Retry(NoBackoff(), 0)})


class Channel(redis.Channel):
    """Puts messages that are not yet due into a sorted set."""

    QoS = QoS
    connection_class = OneAttempt
    connection_class_ssl = OneAttemptTLS
    #: Where a worker's channel notes what it could not tell the broker.
    debts: Debts | None = None

    @cached_property
    def sets(self) -> Sets:
        """The sorted sets of this channel's broker."""
        return Sets(client.Redis(connection_pool=self.pool), prefix=self.global_keyprefix)

    # Private parts of kombu's channel, pinned by a test.
    _expires: dict[str, int]
    _q_for_pri: Any
    connection_errors: tuple[type[Exception], ...]
    _in_poll: Any
    _closing: bool
    _brpop_read: Any

    def close(self) -> None:
        """Give back what was not begun and let go of all connections, whether or not the broker answers."""
        self._closing = True
        if self._in_poll:
            with suppress(Empty, *self.connection_errors):
                self._brpop_read()
        super().close()

    def queue_delete(self, queue: str, *args: Any, **options: Any) -> None:
        """Delete a queue; when closing, one that cannot be reached is left behind."""
        with suppress(*(self.connection_errors if self._closing else ())):
            super().queue_delete(queue, *args, **options)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop a consumer; when closing, a broker that is gone need not be told."""
        with suppress(*(self.connection_errors if self._closing else ())):
            super().basic_cancel(consumer_tag)

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        due = due_at(message)
        if due is None or due <= time.time() or queue in self._expires:
            super()._put(queue, message, **options)
            return
        headers = message["headers"]
        headers["eta"] = None
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        self._zadd(
            RETRY if headers.get("retries") else SCHEDULE, {entry(key, dumps(message)): due}, **options
        )

    def _zadd(self, name: str, members: dict[str, float], *, _publish_batch: Any = None, **_: Any) -> None:
        if _publish_batch is not None:
            _publish_batch.add("zadd", name, members)
            return
        with self.conn_or_acquire() as connection:
            connection.zadd(name, members)


class Transport(redis.Transport):
    """The transport that `broker_transport = "sidekiq"` names."""

    Channel = Channel


def due_at(message: dict[str, Any]) -> float | None:
    """When the message may run, in seconds since the epoch, or None where it has no ETA."""
    eta = (message.get("headers") or {}).get("eta")
    if not eta:
        return None
    when = datetime.fromisoformat(eta)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def register() -> None:
    """Make the alias known to kombu."""
    TRANSPORT_ALIASES[ALIAS] = f"{__name__}:Transport"
