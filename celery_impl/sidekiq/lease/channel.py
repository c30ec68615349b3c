"""kombu's Redis channel, but jobs are fetched by `fetch`, held by a `holder`, and queued with a signal.

What waits for its time goes into the sorted sets, as in `sidekiq.transport`. Queues whose consumer does not
acknowledge (replies of remote control) are consumed as kombu does, unless the channel holds jobs as well.
With `runs_jobs_in_turn` a read delivers more than one answer brought (`inbox`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from queue import Empty
from time import monotonic
from typing import Any, Final

import redis
from kombu.serialization import registry  # type: ignore[attr-defined] # not in the stubs
from kombu.transport import virtual
from kombu.transport.redis import DEFAULT_PORT
from kombu.utils.json import JSONEncoder, dumps
from kombu.utils.json import loads as loads_typed

from celery_impl.sidekiq.jobs import malformed
from celery_impl.sidekiq.lease.fetch import BATCH, TYPED, Fetch, Job
from celery_impl.sidekiq.lease.holder import AWAY, Holder, stopping
from celery_impl.sidekiq.lease.inbox import ACK_BATCH, TURN_S, Inbox
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


class Message(virtual.Message):
    """A message; plain JSON in its body is decoded without kombu's way through its registry."""

    accept: Any
    body: Any

    def _decode(self) -> Any:
        if (
            self.content_type in (self.accept or ())
            and registry._decoders.get(self.content_type) is loads_typed  # noqa: SLF001 - pinned by a test
            and self.content_encoding == "utf-8"
            and TYPED not in self.body
        ):
            with suppress(ValueError):  # kombu's own error says more
                return json.loads(self.body.decode())
        return super()._decode()


class Channel(transport.Channel):
    """Takes jobs under a lease, once it has a consumer that acknowledges."""

    QoS: Any = QoS
    Message: Any = Message
    connection: Any
    lease_s = LEASE_S
    ack_batch = ACK_BATCH
    from_transport_options = (*transport.Channel.from_transport_options, "lease_s", "ack_batch")
    holder: Holder | None = None
    #: Whether its jobs run in this process, which each of them may hold up as a whole.
    runs_jobs_here = False
    #: Whether delivering a job runs it, so that each waits for the one before.
    runs_jobs_in_turn = False
    #: Whether the command that waits for its answer is kombu's own.
    _asked_as_kombu = False
    _fetch: Fetch

    # Private parts of kombu's channel, pinned by a test.
    _create_client: Any
    _prepare_virtual_host: Any
    _queue_cycle: Any
    _fanout_queues: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        self._inbox: Inbox | None = None
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

    def acknowledge(self, tag: str, *, may_wait: bool = False) -> None:
        """Forget a job that is done; what has another tag is none of the holder's.

        Where it `may_wait` for the next fetch, and that comes soon, it does.
        """
        if self.holder is not None and self.holder.holds(tag):
            (self.holder.note if may_wait and self._inbox is not None else self.holder.acknowledge)(tag)

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
            if self.runs_jobs_in_turn:
                self._inbox = Inbox(self.holder, ack_batch=self.ack_batch, keys=self._keys)
        return super().basic_consume(queue, no_ack, *args, **options)

    def basic_get(self, queue: str, no_ack: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002 - kombu's
        """Refuse to take a message without a consumer: no lease would protect it. `no_ack` is allowed."""
        if no_ack:
            return super().basic_get(queue, no_ack, **options)
        raise NotImplementedError("lease+redis:// has no basic_get with acknowledgement: use a consumer")

    def close(self) -> None:
        """Close, and give back all that does not run."""
        if self._inbox is not None:
            self._inbox.close()
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
        elif self.qos.can_consume():
            self._ask(wait)

    def _brpop_read(self, **options: Any) -> Any:
        if self._asked_as_kombu:  # perhaps before the holder came: mingle asks first
            self._asked_as_kombu = False
            return super()._brpop_read(**options)
        jobs = self._read()
        if self._inbox is not None:
            self._inbox.add(jobs)
            return self._run_in_turn(self._inbox)
        for job in jobs:
            self._hand_over(job)
        if not jobs:
            raise Empty
        return True

    def _ask(self, wait: float) -> bool:
        """Send the next command, which nobody waits for yet; return whether there was one to send."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return False
        self._in_poll = connection = self.client.connection
        self._brpop_sent_at = monotonic()
        at_once = self._inbox is not None
        self._fetch.send(connection, queues, self._in_order, room=self._room(), wait_s=wait, at_once=at_once)
        return True

    def _read(self) -> list[Job]:
        """Return what the answer to the last command brings."""
        connection = self.client.connection
        try:
            if not self._closing:
                return self._fetch.read(connection)
            self._fetch.read_unused(connection)  # what it brings is held, and given back next
        except (*AWAY, redis.ResponseError) as error:
            self._fetch.lost()
            connection.disconnect()
            if isinstance(error, redis.ResponseError):  # Celery would end the worker
                raise redis.ConnectionError(f"the broker refuses to give jobs: {error}") from error
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        return []

    def _run_in_turn(self, inbox: Inbox) -> bool:
        """Run jobs, and fetch more, for TURN_S; then have the event loop come back, at once if some are left.

        An answer that does not come in that time is left to the event loop as well.
        """
        until, ran = monotonic() + TURN_S, False
        while not (self._closing or stopping()):
            job = inbox.next()
            if job is not None:
                ran = True
                self._hand_over(job)
                if monotonic() < until:
                    continue
            waits = self._fetch.listens
            if not (self.qos.can_consume() and self._ask(self.brpop_timeout)) or waits or job is not None:
                break
            if not self.client.connection.can_read(max(0.0, until - monotonic())):
                break
            inbox.add(self._read())
        if not ran:
            raise Empty
        return True

    def _hand_over(self, job: Job) -> None:
        """Deliver a job. A worker that stops takes none; it is given back when the channel closes."""
        if stopping():
            return
        tag = job.message["properties"]["delivery_tag"]
        if job.queue not in self._active_queues:  # it was asked for before its queue was left
            if self.holder is not None:
                self.holder.return_unstarted([tag])
            return
        self._queue_cycle.rotate(job.queue)
        if job.queue in self._no_ack:
            self.acknowledge(tag)
        try:
            self.connection._deliver(job.message, job.queue)  # noqa: SLF001 - pinned by a test
        except Exception:
            if not self._buried(*_split(job.entry)):
                raise
            self.acknowledge(tag)

    def _in_order(self, queues: Sequence[str]) -> list[tuple[str, str]]:
        """The keys of these queues with their names, in the order to look: by priority, then as they come."""
        return [(self._q_for_pri(queue, step), queue) for step in self.priority_steps for queue in queues]

    def _keys(self) -> list[str]:
        return [key for key, _ in self._in_order(self._active_queues)]

    def _bury(self, entry: bytes, error: Exception) -> None:
        key, item = _split(entry)
        reason = malformed.problem(item) or f"no message of Celery: {type(error).__name__}: {error}"
        self._bury_item(key, item, reason)

    def _room(self) -> int:
        room = min(self.qos.can_consume_max_estimate() or BATCH, BATCH)
        if "can_consume" in vars(self.qos):  # Celery's worker_disable_prefetch: one job a fetch
            room = 1
        return room if self._inbox is None else max(0, room - len(self._inbox))

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
