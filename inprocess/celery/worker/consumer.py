"""The consumer: Celery's own, fed from the broker in memory instead of a connection.

Celery's strategies, requests, ETA timer, rate limits and revokes are untouched. What differs: there
is no connection to wait on, so nothing blocks. `pump` is called when a message has come or a slot is
free, and takes what there are slots for.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from kombu.exceptions import ContentDisallowed

from inprocess.celery.broker.broker import LANES, Broker, Envelope
from inprocess.celery.celery_internals.internals import (
    Blueprint,
    Consumer,
    Message,
    StartStopStep,
    build_tracer,
    loads,
    prepare_accept_content,
)
from inprocess.celery.worker.process_tasks import run_in_process
from inprocess.celery.worker.task_preparation import prepare

#: Messages that one call of `pump` hands out, so that the loop has its turn between.
MESSAGES_PER_PUMP: Final = 32


class Delivery:
    """Stands for the channel that a message came by: where it is acknowledged."""

    no_ack_consumers = None

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def basic_ack(self, tag: int, multiple: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - kombu's signature
        """The message is done with."""
        self._broker.ack(tag)

    def basic_reject(self, tag: int, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - as above
        """The message is not wanted, or not now."""
        self._broker.reject(tag, requeue=requeue)


class Queues:
    """Stands for Celery's consumer of queues: what `control.add_consumer` and `cancel_consumer` reach."""

    def __init__(self, broker: Broker, app: Any) -> None:
        self._broker = broker
        self._app = app

    @property
    def queues(self) -> list[Any]:
        """The declarations of the queues that are taken from."""
        known = self._app.amqp.queues
        return [known[name] for name in self._broker.consumed()]

    def consuming_from(self, queue: Any) -> bool:
        """Whether messages of this queue are taken."""
        return getattr(queue, "name", queue) in self._broker.consumed()

    def add_queue(self, queue: Any) -> None:
        """Take from this queue as well."""
        self._broker.resume(queue.name)

    def consume(self) -> None:
        """It does already."""

    def cancel_by_queue(self, queue: Any) -> None:
        """Take from this queue no more."""
        self._broker.pause(getattr(queue, "name", queue))

    def cancel(self) -> None:
        """Nothing is held open."""

    close = cancel


class Tasks(StartStopStep):  # type: ignore[misc]  # see internals
    """The one step of the consumer's start: get to know the tasks."""

    name = "celery.worker.consumer.tasks.Tasks"  # what other steps know it by

    def start(self, consumer: Any) -> None:
        """Build the strategies, and take what waits."""
        consumer.update_strategies()
        consumer.on_ready()


class Strategies(dict[str, Any]):
    """How each task's messages are dealt with; tasks that are registered later are found when they come."""

    def __init__(self) -> None:
        super().__init__()
        self.consumer: Any = None

    def __missing__(self, name: str) -> Any:
        task = self.consumer.app.tasks[name]  # NotRegistered, a KeyError, is what the consumer deals with
        strategy = self[name] = self.consumer.strategy_of(task)
        return strategy


class InProcessConsumer(Consumer):  # type: ignore[misc]  # see internals
    """See the module. Loop's thread only."""

    Strategies = Strategies

    class Blueprint(Blueprint):  # type: ignore[misc]  # see internals
        """Only what needs no broker."""

        name = "Consumer"
        default_steps = (Tasks,)

        def shutdown(self, parent: Any) -> None:
            """As Celery's."""
            self.send_all(parent, "shutdown")

    def __init__(self, *args: Any, broker: Broker, **options: Any) -> None:
        self.event_dispatcher = None
        super().__init__(*args, **options)
        self.broker = broker
        self.strategies.consumer = self
        self.connection = SimpleNamespace()  # some steps ask whether there is one
        self.task_consumer = Queues(broker, self.app)
        self.qos = Window(self.initial_prefetch_count)
        self._delivery = Delivery(broker)
        self._accept = prepare_accept_content(self.app.conf.accept_content)
        self._handle = self.create_task_handler()

    def start(self) -> None:
        """Start the steps and return; unlike Celery's, which serves until it is stopped."""
        self.blueprint.start(self)

    def update_strategies(self) -> None:
        """Get to know every task that is registered."""
        self.strategies.clear()
        for name, task in self.app.tasks.items():
            self.strategies[name] = self.strategy_of(task)

    def strategy_of(self, task: Any) -> Any:
        """What deals with the messages of a task."""
        prepare(task, isolate=run_in_process)
        strategy = task.start_strategy(self.app, self)
        task.__trace__ = build_tracer(task.name, task, self.app.loader, self.hostname, app=self.app)
        if task.name not in self.task_buckets:
            self.task_buckets[task.name] = self.bucket_for_task(task)
        return strategy

    def call_soon(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Celery puts off what must not happen amid reading from a connection; here it need not be."""
        return function(*args, **kwargs)

    def pump(self) -> bool:
        """Hand out messages while there are slots; whether there may be more."""
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
        if "task" in message.headers:
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


class Window:
    """Stands for the prefetch window, which slots take the place of here."""

    def __init__(self, value: int) -> None:
        self.value = value

    def increment_eventually(self, n: int = 1) -> None:
        """Nothing to widen."""

    decrement_eventually = increment_eventually
