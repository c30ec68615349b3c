"""kombu's Redis transport, but what has an ETA waits in a sorted set and not in a worker's memory.

Stock Celery delivers an ETA message at once; the worker holds it unacknowledged until it is due, so
an ETA beyond the visibility timeout runs again and again, and a million of them fill the memory.
Here `_put`, kombu's extension point for virtual transports, diverts a message that is not yet due:

1. its `eta` header becomes a property, so that the worker that receives it runs it at once and the job
   still sees its `request.eta`;
2. it goes into `retry` if it has been retried, else into `schedule`, scored by its ETA;
3. a thread of any worker (`worker.maintenance`) queues it when due by the broker's clock, in the queue and
   priority that it was sent to.

What stands in a queue and is no message, which would end kombu's worker, goes to the dead set. Each job
notes when it came, or will come, to its queue (`enqueued_at`, seconds since the epoch).

`deferred_acks` keeps what cannot be acknowledged while the broker is away, and closing never fails for a
broker that is gone: kombu's leaves a channel half closed, and whoever closes it next ends the worker.

The rest is kombu's. No command is repeated by redis-py, whose default of three repeats would make
a silent broker cost four time-outs, and a late answer two jobs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from queue import Empty
from typing import Any, Final

import redis as client
from kombu.connection import resolve_aliases  # type: ignore[attr-defined] # not in the stubs
from kombu.exceptions import InconsistencyError
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.json import dumps
from redis.backoff import NoBackoff
from redis.retry import Retry

from celery_impl.sidekiq.jobs import malformed
from celery_impl.sidekiq.jobs.entry_format import entry
from celery_impl.sidekiq.redis.captured_sends import Capturing
from celery_impl.sidekiq.redis.deadline import Bounded
from celery_impl.sidekiq.redis.deferred_acks import DeferredAcks, QoS
from celery_impl.sidekiq.redis.older_versions import OlderKombu
from celery_impl.sidekiq.redis.refusals import Explained, is_refusal
from celery_impl.sidekiq.redis.server_clock import AskedClock
from celery_impl.sidekiq.redis.set_moves import Moves, Source
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE, Sets

#: The property of a message that tells when it was due.
ETA_PROPERTY: Final = "eta"
#: What `broker_transport` names.
ALIAS: Final = "sidekiq"

logger = logging.getLogger(__name__)


class OneAttempt(Explained, Bounded, client.Connection):
    """A connection whose commands are sent once, and waited for no longer than `deadline` allows."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "retry": Retry(NoBackoff(), 0)})  # type: ignore[no-untyped-call] # redis-py's


class OneAttemptTLS(Explained, Bounded, client.SSLConnection):
    """As `OneAttempt`, over TLS."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "retry": Retry(NoBackoff(), 0)})


class Channel(Capturing, redis.Channel, OlderKombu):
    """Puts messages that are not yet due into a sorted set."""

    QoS: Any = QoS
    connection_class: Any = OneAttempt
    connection_class_ssl: Any = OneAttemptTLS
    #: Where a worker's channel notes what it could not acknowledge.
    deferred: DeferredAcks | None = None
    #: What BRPOP answered last: the key of a queue and what stood in it.
    _popped: tuple[bytes, bytes] | None = None

    @cached_property
    def sets(self) -> Sets:
        """The sorted sets of this channel's broker."""
        return Sets(client.Redis(connection_pool=self.pool), prefix=self.global_keyprefix)

    @cached_property
    def clock(self) -> AskedClock:
        """The time of this channel's broker."""
        return AskedClock(client.Redis(connection_pool=self.pool))

    def refusals(self, queues: Iterable[str]) -> list[str]:
        """Try what a worker of these queues does, without any effect; return what the broker refuses."""
        tried = {what: _refusal(trial) for what, trial in self._trials(list(queues))}
        return [f"a worker needs {what}: {text}" for what, text in tried.items() if text]

    def _trials(self, queues: Sequence[str]) -> Iterator[tuple[str, Callable[[], object]]]:
        """What a worker needs, in words, and a call that fails where it may not have it."""
        yield "scripts, and the keys sidekiq:*", partial(self.sets.promote, 0.0)
        for queue in queues:
            yield f"the keys {queue}*", partial(self.client.rpop, self._q_for_pri(queue, 0), 0)
            yield f"the keys {self.keyprefix_queue % queue}", partial(self.get_table, queue)

    # Private parts of kombu's channel, pinned by a test.
    _q_for_pri: Any
    connection_errors: tuple[type[Exception], ...]
    _in_poll: Any
    _closing: bool
    _brpop_start: Any
    _connparams: Any

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
        due, headers = due_at(message), message["headers"]
        now = time.time() if due is None else self.clock.now()
        if "task" in headers:
            message["properties"]["enqueued_at"] = max(now, due or now)
        if self._caught is not None:
            self._caught.append((self.key(queue, message), dumps(message)))
            return
        if due is None or due <= now or queue in self._expires:
            self._put_now(queue, message, **options)
            return
        key, name = self.key(queue, message), RETRY if headers.get("retries") else SCHEDULE
        self._zadd(name, {entry(key, dumps(put_off(message))): due}, **options)

    def _purge(self, queue: str) -> int:
        """Delete what is in the queue, and what waits in the sets for it."""
        waiting = sum(
            Moves(self.sets).delete(Source(name), self.sets.waiting_for(queue, name))
            for name in (SCHEDULE, RETRY)
        )
        return int(super()._purge(queue)) + waiting

    def _put_now(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        super()._put(queue, message, **options)

    def _put_fanout(self, *args: Any, **options: Any) -> None:
        if self._caught is None:
            super()._put_fanout(*args, **options)  # type: ignore[misc] # private, pinned by a test

    def key(self, queue: str, message: dict[str, Any]) -> str:
        """Return the key, without prefix, of the list that the message goes to: by queue and priority."""
        return str(self._q_for_pri(queue, self._get_message_priority(message, reverse=False)))

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's
        made = super()._create_client(asynchronous)  # type: ignore[misc] # private, pinned by a test
        if asynchronous:
            made.set_response_callback("BRPOP", self._note_popped)
        return made

    def _note_popped(self, answer: Any, **_: Any) -> Any:
        self._popped = tuple(answer) if answer else None
        return self._popped

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc] # private, pinned by a test
        except Exception as error:
            if self._popped is None or not self._buried(*self._popped):
                raise
            raise Empty from error
        finally:
            self._popped = None

    def _buried(self, key: bytes, item: bytes) -> bool:
        """Bury what was popped where it is no message."""
        reason = malformed.problem(item)
        if reason is None:
            return False
        self._bury_item(key, item, reason)
        return True

    def _bury_item(self, key: bytes, item: bytes, reason: str) -> None:
        logger.error("what stood in queue %r is no message: it goes to the dead set (%s)", key, reason)
        self.sets.bury(malformed.dead_job(item, key.decode().removeprefix(self.global_keyprefix), reason))

    def _zadd(self, name: str, members: dict[str, float], *, _publish_batch: Any = None, **_: Any) -> None:
        if _publish_batch is not None:
            _publish_batch.add("zadd", name, members)
            return
        with self.conn_or_acquire() as connection:
            connection.zadd(name, members)


class Transport(redis.Transport):
    """The transport that `broker_transport = "sidekiq"` names."""

    Channel = Channel


def _refusal(trial: Callable[[], object]) -> str:
    try:
        trial()
    except client.ResponseError as error:
        return str(error) if is_refusal(error) else ""
    except InconsistencyError:  # nobody has declared the queue yet
        return ""
    return ""


def due_at(message: dict[str, Any]) -> float | None:
    """Return when the message may run, in seconds since the epoch, or None where it has no ETA."""
    eta = (message.get("headers") or {}).get("eta")
    if not eta:
        return None
    when = datetime.fromisoformat(eta)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def put_off(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message as it waits in a set: its ETA is a property, so that a worker runs it at once."""
    # A copy: another queue of the exchange gets the message as well.
    headers = message["headers"]
    properties = {**message["properties"], ETA_PROPERTY: headers["eta"]}
    return {**message, "headers": {**headers, "eta": None}, "properties": properties}


def register() -> None:
    """Make the alias known to kombu."""
    TRANSPORT_ALIASES[ALIAS] = f"{__name__}:Transport"
    resolve_aliases[ALIAS] = "redis"  # what others read in a connection's info
