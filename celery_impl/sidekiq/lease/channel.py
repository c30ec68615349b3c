"""kombu's Redis channel, but jobs are fetched by `fetch`, held by a `holder`, and queued with a signal.

What waits for its time goes into the sorted sets, as in `sidekiq.transport`. Queues whose consumer does not
acknowledge (replies of remote control) are consumed as kombu does, unless the channel holds jobs as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from queue import Empty
from time import monotonic
from typing import Any, Final

import redis
from kombu.transport import virtual
from kombu.transport.redis import DEFAULT_PORT
from kombu.utils.json import JSONEncoder, dumps

from celery_impl.sidekiq.jobs import malformed
from celery_impl.sidekiq.lease.fetch import BATCH, Fetch, Job
from celery_impl.sidekiq.lease.holder import AWAY, Holder, stopping
from celery_impl.sidekiq.lease.lease_store import LEASE_S, LeaseStore
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands
from celery_impl.sidekiq.lease.renewal import hold, retire
from celery_impl.sidekiq.redis import transport
from celery_impl.sidekiq.redis.queue_signal import signal_key
from celery_impl.sidekiq.redis.sets import Sets

#: As kombu's `dumps`, which makes an encoder for each message.
_encode: Final = JSONEncoder().encode


class QoS(virtual.QoS):
    """The messages that a channel holds; their acknowledgement waits for nothing and never fails."""

    channel: Any
    _delivered: Any

    def ack(self, delivery_tag: str) -> None:
        """The job is done."""
        self.channel.acknowledge(delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Give the job back to the front of its queue, or drop it."""
        (self.channel.give_back if requeue else self.channel.acknowledge)(delivery_tag)
        super().ack(delivery_tag)

    def restore_unacked(self) -> list[Any]:  # type: ignore[override] # kombu's does, but its stub does not say
        """Give back all that does not run."""
        self.channel.recover()
        self._delivered.clear()
        return []

    def renew(self, _sets: object) -> None:
        """Nothing: `renewal` does it."""


class Channel(transport.Channel):
    """Takes jobs under a lease, once it has a consumer that acknowledges."""

    QoS: Any = QoS
    connection: Any
    lease_s = LEASE_S
    from_transport_options = (*transport.Channel.from_transport_options, "lease_s")
    holder: Holder | None = None
    #: Whether its jobs run in this process, which each of them may hold up as a whole.
    runs_jobs_here = False
    #: Whether the command that waits for its answer is kombu's own.
    _asked_as_kombu = False
    _fetch: Fetch

    # Private parts of kombu's channel, pinned by a test.
    _create_client: Any
    _prepare_virtual_host: Any
    _queue_cycle: Any
    _fanout_queues: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        self._inbox: deque[Job] = deque()
        self._no_ack: set[str] = set()
        self._commands = PipelinedCommands(lambda: self.pool)
        self._cached: Any = None
        super().__init__(*args, **options)

    @cached_property
    def sets(self) -> Sets:
        """The sorted sets of this channel's broker; what becomes due sets a signal."""
        return Sets(redis.Redis(connection_pool=self.pool), prefix=self.global_keyprefix, signals=True)

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """One client for all commands: kombu makes one for each."""
        if client is None and (self._cached is None or self._cached.connection_pool is not self.pool):
            self._cached = self._create_client()
        yield client or self._cached

    def _trials(self, queues: Sequence[str]) -> Iterator[tuple[str, Callable[[], object]]]:
        yield from super()._trials(queues)
        leases = LeaseStore(self._commands, prefix=self.global_keyprefix, lease_s=self.lease_s)
        keys = [(self._q_for_pri(queue, 0), queue) for queue in queues]
        yield "leases (keys sidekiq:lease:*)", partial(leases.renew, [])
        yield "to fetch by a script", partial(leases.fetch, "nobody", 0, 0, keys)
        yield "to acknowledge (HDEL)", partial(leases.acknowledge, "nobody", [0])

    def connection_options(self) -> set[str]:
        """Return the names of the options that this channel's connections are made with."""
        return set(self._connparams()) & set(self.pool.connection_kwargs)

    def keys(self, queue: str, message: dict[str, Any]) -> tuple[str, str] | None:
        """Return the keys of the message's queue and of its signal; None for a queue that comes and goes."""
        if queue in self._expires:
            return None
        prefix = self.global_keyprefix
        return prefix + self.key(queue, message), prefix + signal_key(queue)

    def acknowledge(self, tag: str) -> None:
        """Forget a job that is done; what has another tag is none of the holder's."""
        if self.holder is not None and self.holder.holds(tag):
            self.holder.acknowledge(tag)

    def give_back(self, tag: str) -> None:
        """Put a job in front of its queue."""
        if self.holder is not None and self.holder.holds(tag):
            self.holder.give_back(tag)

    def recover(self) -> None:
        """Give back all that does not run; closing does it by itself."""
        if self.holder is not None and not self._closing:
            self.holder.recover()

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **options: Any) -> Any:  # noqa: FBT001 - kombu's
        """Start a consumer; the first that acknowledges makes this channel a holder."""
        if no_ack:
            self._no_ack.add(queue)
        elif queue not in self._fanout_queues and self.holder is None:
            self.holder = hold(self, lease_s=self.lease_s, apart=self.runs_jobs_here)
            self._fetch = Fetch(self.holder, bury=self._bury)
        return super().basic_consume(queue, no_ack, *args, **options)

    def basic_get(self, queue: str, no_ack: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002 - kombu's
        """Refuse to take a message without a consumer: no lease would protect it. `no_ack` is allowed."""
        if no_ack:
            return super().basic_get(queue, no_ack, **options)
        raise NotImplementedError("lease+redis:// has no basic_get with acknowledgement: use a consumer")

    def close(self) -> None:
        """Close, and give back all that does not run."""
        super().close()
        if self.holder is not None and not self.holder.retired:
            retire(self.holder)

    def _put_now(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        batch = options.get("_publish_batch")
        if queue in self._expires or "task" not in message["headers"]:
            super()._put_now(queue, message, **options)  # such a queue comes and goes: it has no signal
            return
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        signal = signal_key(queue)
        if batch is not None:
            batch.add("lpush", key, dumps(message))
            batch.add("zadd", signal, {"1": 0})
            return
        prefix = self.global_keyprefix
        self._commands.call(
            ("LPUSH", prefix + key, _encode(message)), unheeded=[("ZADD", prefix + signal, 0, 1)]
        )

    def _delete(self, queue: str, *args: Any, **options: Any) -> None:
        super()._delete(queue, *args, **options)
        self._commands.call(("DEL", self.global_keyprefix + signal_key(queue)))

    def _brpop_start(self, timeout: float | None = None) -> None:
        wait = self.brpop_timeout if timeout is None else timeout
        if self.holder is None:
            super()._brpop_start(wait)
            self._asked_as_kombu = bool(self._in_poll)
            return
        self._deliver_inbox()
        queues = self._queue_cycle.consume(len(self.active_queues))
        if self._inbox or not queues or not self.qos.can_consume():
            return
        keys = [(self._q_for_pri(queue, step), queue) for step in self.priority_steps for queue in queues]
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self.client.connection.send_command(*self._fetch.command(queues, keys, self._room(), wait))

    def _brpop_read(self, **options: Any) -> Any:
        if self._asked_as_kombu:  # perhaps before the holder came: mingle asks first
            self._asked_as_kombu = False
            return super()._brpop_read(**options)
        connection = self.client.connection
        try:
            if not self._closing:
                self._inbox.extend(self._fetch.read(connection))
            elif self._fetch.may_bring_jobs:
                connection.read_response()  # what it brings is held, and given back next
            else:
                connection.disconnect()
        except (*AWAY, redis.ResponseError) as error:
            self._fetch.lost()
            connection.disconnect()
            if isinstance(error, redis.ResponseError):  # Celery would end the worker
                raise redis.ConnectionError(f"the broker refuses to give jobs: {error}") from error
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if not self._inbox:
            raise Empty
        self._deliver_inbox()
        return True

    def _deliver_inbox(self) -> None:
        """Deliver the fetched jobs. A worker that stops delivers none; it gives them back when it closes."""
        while self._inbox and not stopping():
            job = self._inbox.popleft()
            tag = job.message["properties"]["delivery_tag"]
            if job.queue not in self._active_queues:
                self.give_back(tag)
                continue
            self._queue_cycle.rotate(job.queue)
            if job.queue in self._no_ack:
                self.acknowledge(tag)
            try:
                self.connection._deliver(job.message, job.queue)  # noqa: SLF001 - pinned by a test
            except Exception:
                if not self._buried(*_split(job.entry)):
                    raise
                self.acknowledge(tag)

    def _bury(self, entry: bytes, error: Exception) -> None:
        key, item = _split(entry)
        reason = malformed.problem(item) or f"no message of Celery: {type(error).__name__}: {error}"
        self._bury_item(key, item, reason)

    def _room(self) -> int:
        if "can_consume" in vars(self.qos):  # Celery's worker_disable_prefetch: one job a fetch
            return 1
        return min(self.qos.can_consume_max_estimate() or BATCH, BATCH)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - kombu's
        address = self.connection.address
        if address is None:
            return dict(super()._connparams(asynchronous))
        secure = address["transport"] == "rediss" and not self.connection.client.ssl
        if secure:
            self.connection_class = self.connection_class_ssl
        known = {"host": address["hostname"] or "127.0.0.1", "port": address["port"] or DEFAULT_PORT}
        known["db"] = self._prepare_virtual_host(address["virtual_host"])
        ssl_options = address.get("ssl") or {"ssl_cert_reqs": "required"}
        return {**super()._connparams(asynchronous), **known, **(ssl_options if secure else {})}


def _split(entry: bytes) -> tuple[bytes, bytes]:
    """Return the key of the queue and what stood in it."""
    key, _, item = entry.partition(b"\n")
    return key, item
