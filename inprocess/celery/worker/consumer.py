"""The consumer: Celery's own, fed from the broker in memory instead of a connection.

Celery's strategies, requests, ETA timer, rate limits and revokes are unchanged. There is no connection to
wait on, so nothing blocks: `pump` is called when a message has arrived or a slot is free, and takes as many
messages as there are slots.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from kombu.exceptions import ContentDisallowed

from inprocess.celery.broker.broker import LANES, Broker, Envelope
from inprocess.celery.celery_internals.internals import (
    Consumer,
    Message,
    build_tracer,
    loads,
    prepare_accept_content,
    symbol_by_name,
)
from inprocess.celery.worker.process_tasks import run_in_process
from inprocess.celery.worker.steps import ConsumerBlueprint
from inprocess.celery.worker.task_preparation import prepare

#: Messages that one call of `pump` delivers, so that the loop has turns in between.
MESSAGES_PER_PUMP: Final = 32


class Delivery:
    """Replaces the channel of a message: acknowledges it to the broker."""

    no_ack_consumers = None

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def basic_ack(self, tag: int, multiple: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - kombu's signature
        """Acknowledge the message."""
        self._broker.ack(tag)

    def basic_reject(self, tag: int, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - as above
        """Reject the message, or put it back."""
        self._broker.reject(tag, requeue=requeue)


class Queues:
    """Replaces Celery's consumer of queues, for `control.add_consumer` and `cancel_consumer`."""

    def __init__(self, broker: Broker, app: Any) -> None:
        self._broker = broker
        self._app = app

    @property
    def queues(self) -> list[Any]:
        """The declarations of the consumed queues."""
        known = self._app.amqp.queues
        return [known[name] for name in self._broker.consumed()]

    def consuming_from(self, queue: Any) -> bool:
        """Whether this queue is consumed."""
        return getattr(queue, "name", queue) in self._broker.consumed()

    def add_queue(self, queue: Any) -> None:
        """Consume this queue too."""
        self._broker.resume(queue.name)

    def consume(self) -> None:
        """Do nothing: queues are consumed from the start."""

    def cancel_by_queue(self, queue: Any) -> None:
        """Stop consuming this queue."""
        self._broker.pause(getattr(queue, "name", queue))

    def cancel(self) -> None:
        """Do nothing: nothing is open."""

    close = cancel


class Strategies(dict[str, Any]):
    """The strategy of each task. Tasks that are registered later are added with their first message."""

    def __init__(self) -> None:
        super().__init__()
        self.consumer: Any = None

    def __missing__(self, name: str) -> Any:
        task = self.consumer.app.tasks[name]  # the consumer handles NotRegistered, a KeyError
        strategy = self[name] = self.consumer.strategy_of(task)
        return strategy


class InProcessConsumer(Consumer):  # type: ignore[misc]  # see internals
    """See the module. Loop's thread only."""

    Strategies = Strategies
    Blueprint = ConsumerBlueprint

    def __init__(self, *args: Any, broker: Broker, **options: Any) -> None:
        self.event_dispatcher = None
        super().__init__(*args, **options)
        self.broker = broker
        self.strategies.consumer = self
        self.task_consumer = Queues(broker, self.app)
        self.qos = Window(self.initial_prefetch_count)
        self._delivery = Delivery(broker)
        self._accept = prepare_accept_content(self.app.conf.accept_content)
        self._handle = self.create_task_handler()

    def start(self) -> None:
        """Start the steps and take the messages that wait; Celery's blocks until it is stopped."""
        self.blueprint.start(self)
        self.on_ready()

    def update_strategies(self) -> None:
        """Build the strategy of every registered task."""
        self.strategies.clear()
        for name, task in self.app.tasks.items():
            self.strategies[name] = self.strategy_of(task)

    def strategy_of(self, task: Any) -> Any:
        """Prepare a task and return its strategy."""
        prepare(task, isolate=run_in_process)
        strategy = task.start_strategy(self.app, self)
        task.__trace__ = build_tracer(task.name, task, self.app.loader, self.hostname, app=self.app)
        if task.name not in self.task_buckets:
            self.task_buckets[task.name] = self.bucket_for_task(task)
        return strategy

    def call_soon(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call it now: Celery delays such calls only because it reads from a connection."""
        return function(*args, **kwargs)

    def pump(self) -> bool:
        """Deliver messages while there are slots; return whether there may be more."""
        if self.connection.connected:  # a step of the app's has a consumer of its own
            with suppress(TimeoutError):
                while True:
                    self.connection.drain_events(timeout=0)
        for _ in range(MESSAGES_PER_PUMP):
            envelope = self._next()
            if envelope is None:
                return False
            self._deliver(envelope)
        return True

    def _next(self) -> Envelope | None:
        envelope = self.broker.take_express()
        if envelope is None:
            for lane in LANES:
                if self.pool.free(lane) > 0 and (envelope := self.broker.take(lane)) is not None:
                    break
        return envelope

    def _deliver(self, envelope: Envelope) -> None:
        message = Message(
            envelope.body, envelope.tag, envelope.content_type, envelope.content_encoding,
            delivery_info={
                "exchange": envelope.exchange,
                "routing_key": envelope.routing_key,
                "redelivered": envelope.redelivered,
            },
            properties=envelope.properties, headers=dict(envelope.headers), accept=self._accept,
            channel=self._delivery,
        )  # fmt: skip
        if "task" in message.headers or envelope.call is not None:
            try:
                self._open(message)
            except ContentDisallowed as error:
                self.on_invalid_task(None, message, error)
                return
            except Exception as error:  # noqa: BLE001 - a body that no serialiser can read
                self.on_decode_error(message, error)
                return
        self._handle(message)

    def _open(self, message: Any) -> None:
        """Decode the body once, here: the tracer takes a message without a content type as it is."""
        if message.content_type is not None:
            message.body = loads(
                message.body, message.content_type, message.content_encoding, accept=self._accept
            )
            message.content_type = message.content_encoding = None
        elif (
            type(message.body) is list
        ):  # plain values: the message may be delivered again, so it keeps its own
            args, kwargs, links = message.body
            message.body = [list(args), dict(kwargs), links]
        message._decoded_cache = message.body  # noqa: SLF001 - see the pins


def consumer_class(app: Any) -> type[InProcessConsumer]:
    """Return the class of the app's consumer: with what a `worker_consumer` of its own overrides."""
    own = symbol_by_name(app.conf.worker_consumer)
    if not issubclass(own, Consumer) or own is Consumer:
        return InProcessConsumer
    return type(own.__name__, (InProcessConsumer, own), {"__module__": own.__module__})


class Window:
    """Replaces the prefetch window; slots do its work."""

    def __init__(self, value: int) -> None:
        self.value = value

    def increment_eventually(self, n: int = 1) -> None:
        """Do nothing."""

    decrement_eventually = increment_eventually
