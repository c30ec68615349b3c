"""The consumer on RabbitMQ: what it buries, Celery then rejects, and the broker would bury once more."""

from __future__ import annotations

from typing import Any

from celery_impl.sidekiq.worker.consumer import SidekiqConsumer


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
