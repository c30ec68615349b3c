"""The AMQP object of an app: all it publishes ends in `Producer.publish`, which puts it into the broker.

`delay`, `apply_async`, signatures, the canvas, `self.retry`, `send_task` and beat build their message in
Celery's own AMQP object, send its signals, and publish. Only that last step is replaced. With `strict`
the body passes through the serialiser as on its way to a broker, so that the task sees a copy and
unserialisable arguments are refused; otherwise it is passed by reference.

A message to an exchange of another type than direct goes through `kombu_transport`, with kombu's own routing.
"""

from __future__ import annotations

from inspect import signature
from types import SimpleNamespace
from typing import Any, Final

import kombu
from celery.canvas import maybe_signature
from kombu.exceptions import EncodeError
from kombu.utils.uuid import uuid

from inprocess.celery.broker.broker import Broker, Envelope
from inprocess.celery.broker.kept_jobs import KeptJobs
from inprocess.celery.celery_internals.internals import AMQP, KombuProducer
from inprocess.celery.sending.errors import refused, unserialisable
from inprocess.celery.sending.plain_values import quick_repr


class InProcessAMQP(AMQP):  # type: ignore[misc]  # see internals
    """Celery's AMQP object, whose producers put messages into the broker of this process."""

    def __init__(self, app: Any, broker: Broker, *, strict: bool, keeps_jobs: bool = True) -> None:
        super().__init__(app)
        self.broker = broker
        self.strict = strict
        #: Whether an extension may keep jobs outside of the queues, and where it does.
        self.keeps_jobs = keeps_jobs
        self.kept_jobs: KeptJobs | None = None
        self._pool = ProducerPool(app, broker, strict=strict)

    @property
    def producer_pool(self) -> ProducerPool:
        """The pool of producers of the app."""
        return self._pool

    def serialised(
        self, task: str, body: Any, serializer: str | None, compression: str | None, headers: dict[str, Any]
    ) -> tuple[Any, str, str]:
        """Return the serialised body, its content type and encoding; raise EncodeError if that fails."""
        return self._pool.acquire().serialised(task, body, serializer, compression, headers)

    def as_task_v2(
        self, task_id: str, name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any
    ) -> Any:
        """Like Celery's, with a faster way to the same texts of common arguments."""
        if options.get("argsrepr") is None and type(args) in {tuple, list}:
            options["argsrepr"] = quick_repr(args, self.argsrepr_maxsize)
        if options.get("kwargsrepr") is None and not kwargs:
            options["kwargsrepr"] = "{}"
        if self.broker.survives and len(rest) > _CALLBACKS and rest[_CALLBACKS]:
            callbacks = [_with_id(each, self.app) for each in rest[_CALLBACKS]]
            rest = (*rest[:_CALLBACKS], callbacks, *rest[_CALLBACKS + 1 :])
        return super().as_task_v2(task_id, name, args, kwargs, *rest, **options)


class Producer(KombuProducer):  # type: ignore[misc]  # see internals
    """kombu's Producer, whose `publish` puts messages for one queue into the broker. Any thread."""

    def __init__(self, connection: kombu.Connection, broker: Broker, app: Any, *, strict: bool) -> None:
        self._link = connection
        super().__init__(connection, auto_declare=False)
        self._broker = broker
        self._app = app
        self._strict = strict

    @property
    def connection(self) -> kombu.Connection:
        """A connection, for code that does more than publish."""
        return self._link

    def publish(  # noqa: PLR0917 - kombu's signature
        self,
        body: Any,
        routing_key: str | None = None,
        delivery_mode: int | None = None,
        priority: int | None = None,
        serializer: str | None = None,
        headers: dict[str, Any] | None = None,
        compression: str | None = None,
        exchange: Any = None,
        expiration: float | None = None,
        **rest: Any,
    ) -> None:
        """Put a message into its queue; raise EncodeError for arguments that `strict` refuses.

        Raise OperationalError when the broker accepts nothing more: while draining, and after the end.
        """
        headers = {} if headers is None else headers
        call = body if _is_call(body) else None
        if exchange or "content_type" in rest or not (call or self._is_task(headers, body)):
            super().publish(
                body, routing_key=routing_key, delivery_mode=delivery_mode, priority=priority or 0,
                serializer=serializer, headers=headers, compression=compression, exchange=exchange,
                expiration=expiration, **rest,
            )  # fmt: skip
            return
        if self._broker.refusal is not None and self._app.current_worker_task is None:
            raise refused(self._broker.refusal)
        for ignored in _OF_THE_WIRE:
            rest.pop(ignored, None)
        within = rest.pop("within", None)
        if within is not None and not self._broker.survives:
            raise TypeError("within= needs a journal to write in: run_in_process(app, journal=Journal(...))")
        properties = {**rest, "priority": priority or 0, "delivery_mode": delivery_mode}
        if expiration is not None:
            properties["expiration"] = str(int(expiration * 1000))
        content_type = encoding = None
        if self._strict:
            task = (call or headers)["task"]
            body, content_type, encoding = self.serialised(task, body, serializer, compression, headers)
        queue = routing_key or ""
        self._broker.put(
            Envelope(
                queue, body, content_type, encoding, headers, properties, "", queue, call=call, within=within
            )
        )

    def serialised(
        self, task: str, body: Any, serializer: str | None, compression: str | None, headers: dict[str, Any]
    ) -> tuple[Any, str, str]:
        """See `InProcessAMQP.serialised`."""
        try:
            content: tuple[Any, str, str] = self._prepare(body, serializer, None, None, compression, headers)
        except (EncodeError, TypeError, ValueError) as error:
            raise unserialisable(task, body, serializer, error) from error
        return content

    def _is_task(self, headers: dict[str, Any], body: Any) -> bool:
        """Whether it is a task in protocol 2; the transport wraps other messages as they need."""
        return "task" in headers and type(body) is tuple


def _with_id(callback: Any, app: Any) -> Any:
    """Return a `link` with an id of its own, so that a job that runs again does not send it twice."""
    link: Any = maybe_signature(callback, app=app)
    if link.subtask_type is not None or "task_id" in link.options:
        return callback
    return link.clone(task_id=uuid())


#: The place of `callbacks` among the arguments of `as_task_v2` behind `kwargs`.
_CALLBACKS: Final = list(signature(AMQP.as_task_v2).parameters).index("callbacks") - 5


def _is_call(body: Any) -> bool:
    """Whether it is a task in protocol 1, whose body names the task."""
    return type(body) is dict and "task" in body and "id" in body


#: Arguments of `publish` about transport, without effect here.
_OF_THE_WIRE = ("retry", "retry_policy", "declare", "timeout", "confirm_timeout", "mandatory", "immediate")


class ProducerPool:
    """Returns one producer to everybody: it has no socket that two threads could use at once."""

    def __init__(self, app: Any, broker: Broker, *, strict: bool) -> None:
        self._app = app
        self._broker = broker
        self._strict = strict
        self._producer: Producer | None = None

    @property
    def connections(self) -> SimpleNamespace:
        """A stand-in for kombu's connection pool, for code that asks for the type of broker."""
        return SimpleNamespace(connection=self.acquire().connection)

    def acquire(self, block: bool = False, timeout: float | None = None) -> Producer:  # noqa: ARG002, FBT001, FBT002 - kombu's signature
        """Return the producer, which is its own context manager."""
        if self._producer is None:
            self._producer = Producer(
                self._app.connection_for_write(), self._broker, self._app, strict=self._strict
            )
        return self._producer

    def force_close_all(self, close_pool: bool = True) -> None:  # noqa: FBT001, FBT002 - as above
        """Do nothing: nothing is open."""
