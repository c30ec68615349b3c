"""The short way from `delay` to a queue of the lease transport: what most jobs need, and nothing else.

Celery's own way asks for some fifteen settings, takes a producer from a pool, declares the queue and goes
through kombu's retries, each time: two thirds of what an enqueue costs. Here settings are read once, and

1. Celery makes the message (`app.amqp.create_task_message`) and chooses the queue (`app.amqp.router`);
2. the channel queues it, or puts it into a set, as it does on the long way;
3. a queue is declared with its first job, and with the first after an error of the broker.

The message is the same, field by field; a test compares them. What the short way does not know, it leaves to
the long one: other options than `OPTIONS`, links, a producer or connection of the caller's, jobs sent by a
running job, receivers of Celery's publish signals, a `Producer.publish` that is wrapped, results that are
kept, exchanges that are not direct, compression, an `amqp` that is not Celery's way to a broker (`testing`).

A setting that is changed after an app's first job does not count here; for most of these neither does it in
Celery's own.
"""

from __future__ import annotations

import os
import threading
from types import FunctionType
from typing import Any, Final, Protocol

from celery import signals
from celery.app.amqp import AMQP
from celery.backends.base import DisabledBackend
from celery.utils.saferepr import saferepr
from kombu import Producer, Queue, messaging, serialization
from kombu.entity import maybe_delivery_mode
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool

from celery_impl.sidekiq.lease.channel import Channel
from celery_impl.sidekiq.redis.deadline import left_s
from celery_impl.sidekiq.redis.store import UNBOUNDED

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


class FastEnqueue:
    """The short way of one app in one process; any thread may use it."""

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

    def send(self, job: Job) -> Any:
        """As the function of this name."""
        task, args, kwargs = job.task, job.args, job.kwargs
        known = {name: value for name, value in job.options.items() if value is not None}
        result_cls = known.pop("result_cls", None) or task.AsyncResult
        if not known.keys() <= USABLE or known.get("retry") or _watched() or _wrapped():
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

    def _begin(self) -> None:
        """Begin anew with all that a broker may have forgotten; what other threads do goes on."""
        options = {**(self._app.conf.broker_transport_options or {}), "max_connections": UNBOUNDED}
        self._connection = self._app.connection_for_write(transport_options=options)
        self._declared: set[str] = set()
        self._channel: Any = None

    def _connected(self, queue: Queue) -> Any:
        channel, declared = self._channel, self._declared
        if channel is None:
            with self._connecting:
                channel = self._channel = self._channel or self._connection.default_channel
        if queue.name not in declared:
            queue.bind(channel).declare()
            declared.add(queue.name)
        return channel

    def _enter(self) -> None:
        """Take one of the connections that the app may have (`broker_pool_limit`)."""
        if self._places is not None:
            left = left_s()
            if not self._places.acquire(timeout=self._patience_s if left is None else left):
                raise OperationalError("all connections to the broker are in use: see broker_pool_limit")


def send(app: Any, job: Job) -> Any:
    """Send a job the short way and return its result, or None where it must go the long one.

    Raise kombu's OperationalError where the broker does not take the job.
    """
    if app.current_worker_task is not None:
        return None
    fast = _fast_enqueue(app)
    return None if fast is None else fast.send(job)


def _fast_enqueue(app: Any) -> FastEnqueue | None:
    """Return the short way of this process for the app, or None where its jobs go the long way."""
    kept = vars(_cached(app, "amqp"))
    fast: FastEnqueue | None = kept.get(_FAST, _UNKNOWN)
    if fast is _UNKNOWN or (fast is not None and fast.pid != os.getpid()):
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


def _watched() -> bool:
    """Return whether a publish signal of Celery has receivers."""
    return bool(
        signals.before_task_publish.receivers
        or signals.after_task_publish.receivers
        or signals.task_sent.receivers
    )
