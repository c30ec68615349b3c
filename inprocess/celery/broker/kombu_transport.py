"""A kombu transport over the broker in memory, for code that asks the app for a connection.

Tasks do not use it: `amqp` puts them into the broker directly. Used by a purge, a raw message, an exchange
of another type than direct, and the events that Celery's monitors read. Exchanges and bindings are kombu's
own. Consumers poll every POLL_S seconds.

`Connection(url_of(broker))` finds the broker by the name in its URL.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from queue import Empty
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import kombu

from inprocess.celery.broker.broker import Broker, Envelope
from inprocess.celery.celery_internals.internals import (
    TRANSPORT_ALIASES,
    BrokerState,
    VirtualChannel,
    VirtualTransport,
)

#: The scheme of a broker URL.
SCHEME: Final = "inprocess"
#: Seconds between two polls of a consumer that uses a raw connection.
POLL_S: Final = 0.05

_brokers: WeakValueDictionary[str, Broker] = WeakValueDictionary()
_names: WeakKeyDictionary[Broker, str] = WeakKeyDictionary()
_numbers = itertools.count(1)
_states: dict[str, Any] = {}


def no_broker(_task: str | None) -> Broker | None:
    """Find none."""
    return None


#: Finds the broker of a connection whose URL names none, by the task that is sent; `standby` sets it.
find_broker: Callable[[str | None], Broker | None] = no_broker


def url_of(broker: Broker) -> str:
    """Return a URL by which kombu finds this broker, as long as it exists."""
    name = _names.setdefault(broker, f"broker-{next(_numbers)}")  # an id() is given again after the end
    if name not in _brokers:
        _brokers[name] = broker
        weakref.finalize(broker, _states.pop, name, None).atexit = False
    return f"{SCHEME}://{name}//"


class Channel(VirtualChannel):  # type: ignore[misc]  # see internals
    """A channel whose queues are the broker's."""

    supports_fanout = True
    do_restore = False
    body_encoding = None

    @property
    def _broker(self) -> Broker:
        return self._broker_for(None)

    def _broker_for(self, task: str | None) -> Broker:
        """Return the broker that the URL names; where it names none, that of the app with the task."""
        name = self.connection.client.hostname
        found = _brokers.get(name) or find_broker(task)
        if found is None:
            raise ConnectionError(f"the broker {SCHEME}://{name} has ended with its app")
        return found

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self._broker.has(queue)

    def _new_queue(self, queue: str, **_: Any) -> None:
        self._broker.declare(queue)

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        properties, task = message["properties"], message["headers"].get("task")
        info = properties.get("delivery_info", {})
        self._broker_for(task).put(
            Envelope(
                queue, message["body"], message["content-type"], message["content-encoding"],
                message["headers"], properties, info.get("exchange", ""), info.get("routing_key", ""),
            )
        )  # fmt: skip

    def _put_fanout(
        self, exchange: str, message: dict[str, Any], routing_key: str | None = None, **_: Any
    ) -> None:
        for queue in self._lookup(exchange, routing_key):
            self._put(queue, message)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - kombu's signature
        envelope = self._broker.get(queue)
        if envelope is None:
            raise Empty
        properties = dict(envelope.properties)
        properties.setdefault("delivery_tag", self._next_delivery_tag())
        properties["delivery_info"] = {"exchange": envelope.exchange, "routing_key": envelope.routing_key}
        return {
            "body": envelope.body,
            "content-type": envelope.content_type,
            "content-encoding": envelope.content_encoding,
            "headers": envelope.headers,
            "properties": properties,
        }

    def _size(self, queue: str) -> int:
        return self._broker.size(queue)

    def _purge(self, queue: str) -> int:
        return self._broker.purge(queue)

    def _delete(self, queue: str, *_: Any, **__: Any) -> None:
        self._broker.purge(queue)

    def _queue_bind(self, *_: Any) -> None:
        """The table of the exchange, which kombu keeps, is enough."""


class Transport(VirtualTransport):  # type: ignore[misc]  # see internals
    """See the module."""

    Channel = Channel
    driver_type = SCHEME
    driver_name = SCHEME
    polling_interval = POLL_S
    implements = VirtualTransport.implements.extend(exchange_type=frozenset(["direct", "topic", "fanout"]))

    def __init__(self, client: kombu.Connection, **options: Any) -> None:
        super().__init__(client, **options)
        if client.hostname not in _brokers:
            find_broker(None)
        self.state = _states.setdefault(client.hostname or "", BrokerState())

    def driver_version(self) -> str:
        """There is no driver."""
        return "N/A"


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
