"""kombu's transport for RabbitMQ, with bounded time, and with messages as Celery should see them.

1. Whatever a thread asks of a connection inside `deadline.within` ends with that bound. The connection is
   closed then: a confirmation that comes later would be taken for that of the next job.
2. A job is sent with a confirmation, and fails where no queue takes it.
3. What the broker writes into a message on its way (`x-death`, `x-delivery-count`) stays out of its headers.
   A retry would carry it along, and RabbitMQ before 4.0 drops as a cycle what went through a delay queue
   before (celery#9867); a new message's count would begin with the old one's.
4. A message says which queue it was taken from, so that a retry goes back there; Celery would send it to the
   default queue, or by a routing key of the delayed delivery.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import redis
from amqp import RecoverableConnectionError
from amqp.exceptions import AMQPError, MessageNacked
from kombu.transport import TRANSPORT_ALIASES, pyamqp

from celery_impl.sidekiq.rabbitmq.dead_messages import Burial
from celery_impl.sidekiq.rabbitmq.envelope import Envelope
from celery_impl.sidekiq.redis.captured_sends import Capturing
from celery_impl.sidekiq.redis.deadline import left_s

#: The name by which kombu finds this transport.
ALIAS: Final = "sidekiq-amqp"
#: Headers that the broker writes.
BROKERS: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")


class Message(pyamqp.Message):
    """A message without the broker's headers; `delivery_count`: how often it was delivered before."""

    def __init__(self, msg: Any, channel: Any = None, **options: Any) -> None:
        super().__init__(msg, channel=channel, **options)
        known = self.headers
        self.delivery_count = int(known.get("x-delivery-count") or 0)
        self.headers = {name: value for name, value in known.items() if not name.startswith(BROKERS)}
        self.buried = False
        if queue := channel.queue_of(self.delivery_info.get("consumer_tag")):
            self.delivery_info = {**self.delivery_info, "exchange": "", "routing_key": queue}

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """As kombu's; what is buried already is acknowledged, or the broker would bury it again."""
        if self.buried and not requeue:
            self.ack()
        else:
            super().reject(requeue=requeue)

    @property
    def _raw(self) -> dict[str, Any]:
        """What `consumer` buries of a message that no task can run."""
        return Envelope(self.body, {**self.properties, "application_headers": self.headers}).as_json()


class Channel(Capturing, pyamqp.Channel):
    """A channel that confirms, can be made to keep what it is given, and buries (`sets.bury`)."""

    Message = Message

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sets = Burial(self)
        self._queues: dict[str, str] = {}

    @property
    def consumes(self) -> bool:
        """Whether this channel delivers jobs, so that waiting for an answer on it is not possible."""
        return bool(self._queues)

    def queue_of(self, tag: str | None) -> str | None:
        """Return the queue that the consumer with this tag takes from."""
        return self._queues.get(tag or "")

    def basic_consume(self, queue: str = "", consumer_tag: str = "", *args: Any, **options: Any) -> Any:
        """As py-amqp's; remember the queue."""
        if consumer_tag:
            self._queues[consumer_tag] = queue
        return super().basic_consume(queue, consumer_tag, *args, **options)

    def basic_publish_confirm(
        self, msg: Any, exchange: str = "", routing_key: str = "", **options: Any
    ) -> Any:
        """Send and wait for the confirmation; raise connection errors, or MessageNacked by a full queue."""
        if self._caught is not None:
            self._caught.append((routing_key, Envelope(msg.body, msg.properties).dumps()))
            return None
        connection, left = self.connection, _left_s()
        options["timeout"] = _shorter(left, options.get("timeout"))
        try:
            return super().basic_publish_confirm(msg, exchange, routing_key, **options)
        except MessageNacked:
            raise
        except (AMQPError, OSError) as error:
            _forget(connection)
            raise RecoverableConnectionError(str(error) or "the broker did not confirm in time") from error

    def key(self, queue: str, _message: Any) -> str:
        """Return the queue's name, under which a message that is no job is buried."""
        return queue


class Connection(pyamqp.Connection):
    """A connection that obeys `within`."""

    Channel = Channel

    def connect(self, callback: Any = None) -> Any:
        """Connect and shake hands; raise OSError when the time is over."""
        own = self.connect_timeout
        self.connect_timeout = _shorter(_left_s(), own)
        try:
            return super().connect(callback)
        finally:
            self.connect_timeout = own

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read a frame; raise TimeoutError when the time is over, and be closed then."""
        left = _left_s()
        bound = left is not None and (timeout is None or left < timeout)
        try:
            return super().blocking_read(left if bound else timeout)
        except TimeoutError:
            if bound:
                _forget(self)
            raise


class Transport(pyamqp.Transport):
    """The transport that `Sidekiq(app)` sets."""

    Connection = Connection
    Channel = Channel  # kombu's virtual transports have it, and others of ours ask for it


def register() -> None:
    """Make the alias known to kombu."""
    TRANSPORT_ALIASES[ALIAS] = f"{__name__}:Transport"


def _left_s() -> float | None:
    try:
        return left_s()
    except redis.TimeoutError as error:  # the bound is shared with the Redis transports
        raise TimeoutError(str(error)) from None


def _shorter(left: float | None, own: float | None) -> float | None:
    return own if left is None else left if own is None else min(left, own)


def _forget(connection: Any) -> None:
    if connection is not None:
        with suppress(OSError):
            connection.collect()
