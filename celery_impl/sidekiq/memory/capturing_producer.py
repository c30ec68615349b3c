"""A producer whose messages are handed to a function and not to a broker.

Celery takes it for kombu's producer, for a pool of them, for its connection and its channel. What is
published has passed routes, serializers and publish signals.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, Self

from kombu import serialization
from kombu.utils.json import dumps

from celery_impl.sidekiq.jobs.entry_format import DeadJob
from celery_impl.sidekiq.redis.captured_sends import Capturing

#: Takes a message: the key of its queue, and the message as it would be queued.
Take = Callable[[str, dict[str, Any]], None]


class CapturingProducer(Capturing):
    """See the module. One thread at a time."""

    serializer = None

    def __init__(self, take: Take, bury: Callable[[DeadJob], None]) -> None:
        self._take = take
        #: As of a channel with `Sidekiq(app)`: where a job that is given up goes.
        self.sets = SimpleNamespace(bury=bury)
        #: Celery asks what kind of broker this is, before it sends an ETA.
        self.connections = SimpleNamespace(
            connection=SimpleNamespace(transport=SimpleNamespace(driver_type="redis"))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing: there is nothing to give back."""

    def acquire(self, *_: Any, **__: Any) -> Self:
        """As a pool's."""
        return self

    def batch(self, *_: Any, **__: Any) -> AbstractContextManager[Self]:
        """As kombu's: here each message is taken at once."""
        return nullcontext(self)

    @property
    def connection(self) -> Self:
        """Itself."""
        return self

    @property
    def channel(self) -> Self:
        """Itself."""
        return self

    def _reraise_as_library_errors(self) -> AbstractContextManager[None]:
        return nullcontext()

    def publish(
        self,
        body: Any,
        *,
        routing_key: str | None = None,
        exchange: Any = None,
        serializer: str | None = None,
        headers: Mapping[str, Any] | None = None,
        declare: Any = None,
        **properties: Any,
    ) -> None:
        """Take a task's message; raise what the serializer raises. Others, events say, go nowhere."""
        if "task" not in (headers or {}):
            return
        content_type, encoding, data = serialization.dumps(body, serializer)
        queue = declare[0].name if declare else routing_key or ""
        kept = ("priority", "reply_to", "correlation_id")
        delivery = {"exchange": getattr(exchange, "name", exchange) or "", "routing_key": routing_key}
        message = {
            "body": base64.b64encode(_bytes(data)).decode(),
            "content-type": content_type,
            "content-encoding": encoding,
            "headers": dict(headers or {}),
            "properties": {
                **{name: properties.get(name) for name in kept},
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
                "delivery_info": delivery,
            },
        }
        if self._caught is None:
            self._take(queue, message)
        else:
            self._caught.append((queue, dumps(message)))


def _bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else str(data).encode()
