"""The worker's main process on RabbitMQ: its consumer, and its jobs whose process was killed.

What the consumer buries, Celery then rejects, and the broker would bury once more: so it is marked before.
"""

from __future__ import annotations

from typing import Any

from celery_impl.sidekiq.worker.consumer import SidekiqConsumer
from celery_impl.sidekiq.worker.request import SidekiqRequest


class RabbitConsumer(SidekiqConsumer):
    """As SidekiqConsumer."""

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
        return int(self.message.delivery_count) + 1
