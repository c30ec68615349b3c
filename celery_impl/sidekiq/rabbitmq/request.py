"""What the worker's main process does on RabbitMQ with a job whose process was killed."""

from __future__ import annotations

from typing import Any

from celery_impl.sidekiq.worker.request import SidekiqRequest


class RabbitRequest(SidekiqRequest):
    """As SidekiqRequest; the deaths of a job are counted by its queue, as deliveries."""

    message: Any

    def _deaths(self) -> int:
        return int(self.message.delivery_count) + 1
