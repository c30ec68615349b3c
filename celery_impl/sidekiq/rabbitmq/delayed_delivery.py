"""Middleware of an app on RabbitMQ: delays that its delay queues can count, and options that need Redis."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

from kombu.transport.native_delayed_delivery import MAX_NUMBER_OF_BITS_TO_USE

from celery_impl.sidekiq.jobs.broker_support import is_in_memory, refuse
from celery_impl.sidekiq.middleware.base import CallNext, Middleware, OutgoingJob

#: Seconds that the delay queues can count to: eight and a half years.
LONGEST_S: Final = 2**MAX_NUMBER_OF_BITS_TO_USE - 1


class DelayedDelivery(Middleware):
    """Rounds delays up to whole seconds, and refuses tasks whose options need Redis."""

    def check(self, task: Any) -> None:
        """Raise RabbitMQError for options that need Redis."""
        if task.sidekiq_unique is not None:
            refuse(task.app, "sidekiq_unique")
        if task.sidekiq_limits:
            refuse(task.app, "sidekiq_limits")

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        """Send the job; raise ValueError for a delay of more than eight and a half years."""
        if job.task is not None and not is_in_memory(job.app):
            job.options.update(_in_whole_seconds(job.options, datetime.now(UTC)))
        return call_next(job)


def _in_whole_seconds(options: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return what to change for a delay that the queues can count; below one second Celery would raise."""
    countdown, eta = options.get("countdown"), options.get("eta")
    wait_s = float(countdown) if countdown else _until_s(eta, now) if eta else 0.0
    if wait_s > LONGEST_S:
        raise ValueError(
            f"a delay of {wait_s:.0f} s is too long: RabbitMQ's delay queues count to {LONGEST_S} s"
        )
    if wait_s <= 0 or (eta and not countdown and wait_s >= 1):
        return {}
    return {"countdown": math.ceil(wait_s), "eta": None}


def _until_s(eta: Any, now: datetime) -> float:
    when = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
    return float(((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds())
