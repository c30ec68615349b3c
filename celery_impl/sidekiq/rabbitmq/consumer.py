"""The worker's main process on RabbitMQ: its consumer, and its jobs whose process was killed.

1. What the consumer buries, Celery then rejects, and the broker would bury once more: so it is marked before.
2. It waits before it connects again where a connection did not last (`reconnecting`).
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from celery.worker.state import maybe_shutdown

from celery_impl.sidekiq.rabbitmq.reconnecting import Backoff
from celery_impl.sidekiq.worker.consumer import SidekiqConsumer
from celery_impl.sidekiq.worker.request import SidekiqRequest

#: Seconds between two looks, while it waits, whether the worker is to end.
LOOK_S: Final = 0.2

logger = logging.getLogger(__name__)


class RabbitConsumer(SidekiqConsumer):
    """As SidekiqConsumer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._backoff = Backoff()
        super().__init__(*args, **options)

    def connect(self) -> Any:
        """Connect, later where the last connection ended early; raise WorkerShutdown when told to end."""
        if wait_s := self._backoff.wait_s(time.monotonic()):
            logger.warning("the connection to the broker did not last: the next one in %g s", wait_s)
            _sleep(wait_s)
        connection = super().connect()
        self._backoff.connected(time.monotonic())
        return connection

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Bury a job whose task this worker does not know, once."""
        message.buried = True
        super().on_unknown_task(body, message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Bury what is no job, once."""
        message.buried = True
        super().on_unknown_message(body, message)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Bury a job whose parts a task cannot take, once."""
        message.buried = True
        super().on_invalid_task(body, message, exc)


class RabbitRequest(SidekiqRequest):
    """As SidekiqRequest; the deaths of a job are counted by its queue, as deliveries."""

    message: Any

    def _deaths(self) -> int:
        count = getattr(self.message, "delivery_count", None)  # not where the app runs in this process
        return super()._deaths() if count is None else int(count) + 1


def _sleep(seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        maybe_shutdown()
        time.sleep(min(left, LOOK_S))
