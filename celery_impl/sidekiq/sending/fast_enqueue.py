"""The short ways from `delay` to a queue of the lease transport: what most jobs need, and nothing else.

Celery's own way asks for some fifteen settings, takes a producer from a pool, declares the queue and goes
through kombu's retries, each time: two thirds of what an enqueue costs. Here settings are read once, and

1. Celery makes the message (`app.amqp.create_task_message`) and chooses the queue (`app.amqp.router`);
2. the channel queues it, or puts it into a set, as it does on the long way;
3. a queue is declared with its first job, and with the first after an error of the broker.

The message is the same, field by field; a test compares them. What the short way does not know, it leaves to
the long one: other options than `OPTIONS`, links, a producer or connection of the caller's, jobs sent by a
running job, receivers of Celery's publish signals, a `Producer.publish` that is wrapped, results that are
kept, exchanges that are not direct, compression, an `amqp` that is not Celery's way to a broker (`testing`).

`delay(…)`, without options, has a shorter way still where no route of the app's looks at arguments: the
first job of a task makes a `MessageTemplate`, and each later one is this text, filled, in one packet on a
connection that stays open. Who calls it sees to it that nothing of the app's own wants to know of the job.

A setting that is changed after an app's first job does not count here; for most of these neither does it in
Celery's own.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, Final, NamedTuple, Protocol

import redis
from celery import Task, signals
from celery.app.amqp import AMQP
from celery.app.routes import MapRoute
from celery.backends.base import DisabledBackend
from celery.utils import uuid
from celery.utils.saferepr import saferepr
from kombu import Producer, Queue, messaging, serialization
from kombu.entity import maybe_delivery_mode
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool
from kombu.utils.json import JSONEncoder

from celery_impl.sidekiq.jobs import strict_arguments
from celery_impl.sidekiq.jobs.entry_format import entry
from celery_impl.sidekiq.lease.channel import Channel
from celery_impl.sidekiq.lease.pipelined_commands import packed
from celery_impl.sidekiq.redis.deadline import left_s, within
from celery_impl.sidekiq.redis.sets import SCHEDULE
from celery_impl.sidekiq.redis.store import UNBOUNDED
from celery_impl.sidekiq.redis.transport import due_at, put_off
from celery_impl.sidekiq.sending.kept_connections import KeptConnections, are_possible
from celery_impl.sidekiq.sending.message_template import MARKS, MessageTemplate, Shown

#: Levels of nested values in `argsrepr` where Celery has no setting for it (before 5.7).
REPR_LEVELS: Final = 3
#: Options of a job that the short way knows; others that are not None take the long one.
OPTIONS: Final = frozenset(
    {
        "queue",
        "priority",
        "headers",
        "countdown",
        "eta",
        "retries",
        "serializer",
        "time_limit",
        "soft_time_limit",
        "ignore_result",
        "add_to_parent",
    }
)
#: OPTIONS, and those that have no effect because the broker is tried once.
USABLE: Final = OPTIONS | {"retry", "retry_policy"}
#: Options that the function that makes the message takes.
MESSAGE_OPTIONS: Final = ("countdown", "eta", "retries", "time_limit", "soft_time_limit")
#: As kombu's `dumps`, which makes an encoder for each message.
_encode: Final = JSONEncoder().encode
#: The attribute of an app's AMQP that holds its FastEnqueue, and its value before the first look.
_FAST: Final = "sidekiq_fast_enqueue"
_UNKNOWN: Final[Any] = object()


class Job(Protocol):
    """A job of a task; `options` are those that `Task.apply_async` gives to `app.send_task`."""

    task: Any
    args: Any
    kwargs: Any
    id: str
    options: dict[str, Any]


class Way(NamedTuple):
    """Where jobs that are sent alike go, and how; `options` are those that they were sent with."""

    options: dict[str, Any]
    ignored: bool
    template: MessageTemplate
    queue: Queue
    #: What all keys of the broker begin with, and with it the keys of the queue's list and signal.
    prefix: str
    key: str
    signal: str
    #: The key of the sorted set where they wait, what an entry begins with, and when they are due, s.
    waits: tuple[str, str, float] | None
    #: What stands before and after the message in a packet.
    before: bytes
    after: bytes

    def packet(self, message: str) -> bytes:
        """Return the commands that queue it."""
        data = message.encode()
        return b"%b$%d\r\n%b%b" % (self.before, len(data), data, self.after)


class FastEnqueue:
    """The short way of one app in one process; any thread may use it."""

    _channel: Any = None
    _kept: KeptConnections
    _at_the_end: weakref.finalize[Any, Any]

    def __init__(self, app: Any) -> None:
        conf = app.conf
        self.pid = os.getpid()
        self._app = app
        self._amqp = app.amqp
        self._serializer = conf.task_serializer
        self._delivery_mode = conf.task_default_delivery_mode
        self._default_queue = conf.task_default_queue
        self._levels = getattr(conf, "task_repr_maxlevels", REPR_LEVELS)
        self._connecting = threading.Lock()
        self._begin()
        self._errors = self._connection.recoverable_connection_errors
        self._errors += self._connection.recoverable_channel_errors
        # kombu lets a channel have ten connections, and fails for the eleventh thread.
        own = (conf.broker_transport_options or {}).get("max_connections")
        limit = min(filter(None, (conf.broker_pool_limit, own)), default=None)
        self._places = threading.BoundedSemaphore(limit) if limit else None
        self._patience_s = conf.broker_pool_acquire_timeout

    @staticmethod
    def fits(app: Any) -> bool:
        """Return whether this app's jobs may go the short way at all."""
        conf, amqp = app.conf, app.amqp
        own = type(amqp)
        return (
            isinstance(amqp.producer_pool, ProducerPool)
            and issubclass(app.connection_for_write().transport.Channel, Channel)
            and own.send_task_message is AMQP.send_task_message
            and own.Producer is AMQP.Producer
            and conf.task_protocol == 2  # noqa: PLR2004 - Celery's number
            and not conf.task_send_sent_event
            and not conf.task_compression
        )

    def delay(self, task: Any, args: Any, kwargs: Any) -> Any:
        """As the function of this name."""
        ignored: bool = task.ignore_result
        if not (ignored or isinstance(task.backend, DisabledBackend)) or is_watched():
            return None
        options = task._get_exec_options()  # noqa: SLF001 - pinned by a test
        way = self._ways.get(task, _UNKNOWN)
        if way is _UNKNOWN or (
            way is not None
            and (way.ignored is not ignored or (way.options is not options and way.options != options))
        ):
            with within(task.sidekiq_within_s):
                way = self._ways[task] = self._usual_way(task, options, ignored=ignored)
        if way is None:
            return None
        if task.typing:
            task.__header__(*args, **kwargs)
        if task.sidekiq_strict_arguments and not strict_arguments.AS_THEY_CAME.get():
            strict_arguments.check(task.name, args, kwargs, serializer=way.template.serializer)
        job_id = uuid()
        message = way.template.fill(
            job_id, args, kwargs, reply_to=self._app.thread_oid, tag=uuid(), now=time.time()
        )
        self._push(way.packet(message), task.sidekiq_within_s)
        result = task.AsyncResult(job_id)
        result.ignored = ignored
        return result

    def _push(self, packet: bytes, within_s: float) -> None:
        """Send the two commands of a job; raise OperationalError where the broker does not take it."""
        left = left_s()
        kept, within_s = self._kept, within_s if left is None else min(left, within_s)
        try:
            self._enter(within_s)
            try:
                kept.call(packet, 2, within_s)
            finally:
                if self._places is not None:
                    self._places.release()
        except self._errors as error:
            self._begin()
            raise OperationalError(str(error)) from error
        except redis.RedisError as error:
            raise OperationalError(str(error)) from error

    def send(self, job: Job) -> Any:
        """As the function of this name."""
        task, args, kwargs = job.task, job.args, job.kwargs
        known = {name: value for name, value in job.options.items() if value is not None}
        result_cls = known.pop("result_cls", None) or task.AsyncResult
        if not known.keys() <= USABLE or known.get("retry") or is_watched():
            return None
        ignored = known.pop("ignore_result", task.ignore_result)
        if not ignored and not isinstance(task.backend, DisabledBackend):
            return None
        queue = self._queue(task, args, kwargs, known)
        if not (known.keys() <= USABLE and isinstance(queue, Queue) and queue.exchange.type == "direct"):
            return None
        self._put(queue, self._message(task.name, job.id, args, kwargs, known, ignored=ignored), known)
        result = result_cls(job.id)
        result.ignored = ignored
        return result

    def _queue(self, task: Any, args: Any, kwargs: Any, known: dict[str, Any]) -> Any:
        """Where the job goes; what its route says besides is added to `known`."""
        router, queues = _cached(self._amqp, "router"), _cached(self._amqp, "queues")
        name = known.get("queue") or self._default_queue
        if router.routes or name not in queues:
            known.update(router.route(known.copy(), task.name, args, kwargs, task))
            return known.pop("queue", None)
        known.pop("queue", None)
        return queues[name]

    def _message(
        self, name: str, job_id: str, args: Any, kwargs: Any, known: dict[str, Any], *, ignored: bool
    ) -> Any:
        amqp, levels = self._amqp, self._levels
        return amqp.create_task_message(
            job_id,
            name,
            args,
            kwargs,
            reply_to=self._app.thread_oid,
            ignore_result=ignored,
            argsrepr=saferepr(args, amqp.argsrepr_maxsize, maxlevels=levels) if args else "()",
            kwargsrepr=saferepr(kwargs, amqp.kwargsrepr_maxsize, maxlevels=levels) if kwargs else "{}",
            **{option: known[option] for option in MESSAGE_OPTIONS if option in known},
        )

    def _usual_way(self, task: Any, options: dict[str, Any], *, ignored: bool) -> Way | None:
        """Return the way of jobs that are sent without options; None where they need the longer one."""
        if not is_simple(task):
            return None
        try:
            return self.way(task, options, ignored=ignored)
        except self._errors as error:
            self._begin()
            raise OperationalError(str(error)) from error

    def way(
        self, task: Any, options: dict[str, Any], *, ignored: bool, of_job: dict[str, Any] | None = None
    ) -> Way | None:
        """Return the way of jobs of the task with these options, or None where there is none.

        `of_job` is what the message has besides, by the names that `create_task_message` has for it. Declare
        the queue; raise the transport's errors.
        """
        known = {name: value for name, value in options.items() if value is not None}
        if not all(isinstance(route, MapRoute) for route in _cached(self._amqp, "router").routes):
            return None  # it may look at the arguments of each job
        queue = self._queue(task, (), {}, known)
        if not (known.keys() <= USABLE and isinstance(queue, Queue) and queue.exchange.type == "direct"):
            return None
        serializer = known.get("serializer") or self._serializer
        channel = self._connected(queue)
        if not are_possible(channel.pool):
            return None
        made = {option: known[option] for option in MESSAGE_OPTIONS if option in known}
        headers, properties, body, _ = self._amqp.create_task_message(
            MARKS.job_id, task.name, (), {}, reply_to=MARKS.reply_to, ignore_result=ignored,
            argsrepr=MARKS.args, kwargsrepr=MARKS.kwargs, **made, **(of_job or {}),
        )  # fmt: skip
        headers.update(known.get("headers") or {})
        kind, encoding, _ = serialization.dumps(body, serializer)
        mode = queue.exchange.delivery_mode or self._delivery_mode
        properties["delivery_mode"] = maybe_delivery_mode(mode)
        message = channel.prepare_message("", known.get("priority"), kind, encoding, headers, properties)
        channel._inplace_augment_message(message, "", queue.name)  # noqa: SLF001 - pinned by a test
        message["body"], message["properties"]["delivery_tag"] = MARKS.body, MARKS.tag
        message["properties"]["enqueued_at"] = MARKS.sent_at
        keys = channel.keys(queue.name, message)
        if keys is None:
            return None
        waits, due = None, due_at(message)
        if due is not None and due > channel.clock.now():
            waits = (channel.global_keyprefix + SCHEDULE, entry(channel.key(queue.name, message), ""), due)
            message = put_off(message)
        amqp = self._amqp
        shown = Shown(amqp.argsrepr_maxsize, amqp.kwargsrepr_maxsize, self._levels)
        template = MessageTemplate(_encode(message), links=body[2], serializer=serializer, shown=shown)
        key, signal = keys
        before = packed([("LPUSH", key)]).replace(b"*2", b"*3", 1)
        after = b"\r\n" + packed([("ZADD", signal, 0, 1)])
        return Way(
            options, ignored, template, queue, channel.global_keyprefix, key, signal, waits, before, after
        )

    def _put(self, queue: Queue, made: Any, known: dict[str, Any]) -> None:
        """Send the message; raise OperationalError where the broker does not take it."""
        headers, properties, body, _ = made
        headers.update(known.get("headers") or {})
        kind, encoding, data = serialization.dumps(body, known.get("serializer") or self._serializer)
        mode = queue.exchange.delivery_mode or self._delivery_mode
        properties["delivery_mode"] = maybe_delivery_mode(mode)
        try:
            self._enter()
            try:
                channel = self._connected(queue)
                priority = known.get("priority")
                message = channel.prepare_message(data, priority, kind, encoding, headers, properties)
                channel.basic_publish(message, "", queue.name)
            finally:
                if self._places is not None:
                    self._places.release()
        except self._errors as error:
            self._begin()
            raise OperationalError(str(error)) from error

    @contextmanager
    def connections(self, within_s: float) -> Iterator[Any]:
        """Redis-py's pool of connections, for one of them; raise OperationalError where none is left."""
        self._enter(within_s)
        try:
            yield self._open_channel().pool
        finally:
            if self._places is not None:
                self._places.release()

    def renew(self) -> None:
        """Take nothing for known of the broker any more: it was away."""
        self._begin()

    def close(self) -> None:
        """Close the kept connections; in a forked child, its copies of them."""
        if self._channel is not None:
            self._kept.close()

    def _begin(self) -> None:
        """Begin anew with all that a broker may have forgotten; what other threads do goes on."""
        if self._channel is not None:
            self._at_the_end.detach()
            self._kept.close()
        options = {**(self._app.conf.broker_transport_options or {}), "max_connections": UNBOUNDED}
        self._connection = self._app.connection_for_write(transport_options=options)
        self._declared: set[str] = set()
        self._channel = None
        self._ways: dict[Any, Way | None] = {}

    def _connected(self, queue: Queue) -> Any:
        channel, declared = self._open_channel(), self._declared
        if queue.name not in declared:
            queue.bind(channel).declare()
            declared.add(queue.name)
        return channel

    def _open_channel(self) -> Any:
        channel = self._channel
        if channel is None:
            with self._connecting:
                channel = self._channel
                if channel is None:
                    channel = self._connection.default_channel
                    self._kept, self._channel = KeptConnections(channel.pool), channel
                    # An app that is not used any more is found by the garbage collector, with its sockets.
                    self._at_the_end = weakref.finalize(self._app, _close, self._kept, channel.pool)
                    self._at_the_end.atexit = False
        return channel

    def _enter(self, within_s: float | None = None) -> None:
        """Take one of the connections that the app may have (`broker_pool_limit`)."""
        if self._places is not None:
            left = left_s() if within_s is None else within_s
            if not self._places.acquire(timeout=self._patience_s if left is None else left):
                raise OperationalError("all connections to the broker are in use: see broker_pool_limit")


def send(app: Any, job: Job) -> Any:
    """Send a job the short way and return its result, or None where it must go the long one.

    Raise kombu's OperationalError where the broker does not take the job.
    """
    if app.current_worker_task is not None:
        return None
    fast = of(app)
    return None if fast is None else fast.send(job)


def delay(app: Any, task: Any, args: Any, kwargs: Any) -> Any:
    """Send a job without options the shortest way and return its result, or None where it must go another.

    The caller has seen that nothing stands around `apply_async` and `send_task`, and that no job runs here.
    Raise TypeError for arguments that the task does not take, ArgumentsError for those that are not strict,
    and kombu's OperationalError where the broker does not take the job.
    """
    fast = of(app)
    return None if fast is None else fast.delay(task, args, kwargs)


def _close(kept: KeptConnections, pool: Any) -> None:
    """Close what an app has left open."""
    kept.close()
    pool.disconnect()


def is_simple(task: Any) -> bool:
    """Whether jobs of the task are sent as Celery has it: its arguments as they are, under its own name."""
    limits = (task.soft_time_limit, task.time_limit)
    return (
        type(task).shadow_name is Task.shadow_name
        and getattr(task, "_dump_pydantic_arguments", None) is None
        and not getattr(task, "__v2_compat__", False)
        and getattr(task, "__self__", None) is None
        and not (all(limits) and limits[0] > limits[1])
        and not task.name.startswith(strict_arguments.CELERYS_OWN)
    )


def of(app: Any) -> FastEnqueue | None:
    """Return the short way of this process for the app, or None where its jobs go the long way."""
    kept = vars(_cached(app, "amqp"))
    fast: FastEnqueue | None = kept.get(_FAST, _UNKNOWN)
    if fast is not None and fast is not _UNKNOWN and fast.pid != os.getpid():
        fast.close()
        fast = _UNKNOWN
    if fast is _UNKNOWN:
        fast = kept[_FAST] = FastEnqueue(app) if FastEnqueue.fits(app) else None
    return fast


def _cached(owner: Any, name: str) -> Any:
    """Return the value of a cached property of kombu's, whose own access takes a lock each time."""
    found = vars(owner).get(name)
    return getattr(owner, name) if found is None else found


def _wrapped() -> bool:
    """Return whether kombu's `Producer.publish`, which the short way leaves out, is wrapped by a tracer."""
    publish = Producer.publish  # an object that stands for the function may have its code, too
    return not (isinstance(publish, FunctionType) and publish.__code__.co_filename == messaging.__file__)


def is_watched() -> bool:
    """Return whether a publish signal of Celery has receivers, or `Producer.publish` a wrapper."""
    return (
        bool(
            signals.before_task_publish.receivers
            or signals.after_task_publish.receivers
            or signals.task_sent.receivers
        )
        or _wrapped()
    )
