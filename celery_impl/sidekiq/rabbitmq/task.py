"""The task class on RabbitMQ."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

from kombu.transport.native_delayed_delivery import MAX_NUMBER_OF_BITS_TO_USE

from celery_impl.sidekiq.enqueue.task import SidekiqTask
from celery_impl.sidekiq.jobs.broker_support import refuse

#: Seconds that the delay queues can count to: eight and a half years.
LONGEST_S: Final = 2**MAX_NUMBER_OF_BITS_TO_USE - 1


class RabbitTask(SidekiqTask):
    """Base of every task of an app with `Sidekiq(app)` on RabbitMQ."""

    abstract = True
    Request = "celery_impl.sidekiq.rabbitmq.consumer:RabbitRequest"

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Refuse what needs Redis as soon as the task is made; raise RabbitMQError."""
        if cls.sidekiq_unique is not None:
            refuse(app, "sidekiq_unique")
        if cls.sidekiq_limits:
            refuse(app, "sidekiq_limits")
        super().on_bound(app)

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """As SidekiqTask's; raise ValueError for a delay of more than eight and a half years."""
        return super().apply_async(args, kwargs, *rest, **_in_whole_seconds(options, time_now()))

    def _ask_before_the_results_do(self) -> None:
        """Nothing: results over the broker are asked for by connections that obey the bound."""


def time_now() -> datetime:
    """Now, with a time zone."""
    return datetime.now(UTC)


def _in_whole_seconds(options: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The options with a delay that the delay queues can count; below one second Celery would raise."""
    countdown, eta = options.get("countdown"), options.get("eta")
    wait_s = float(countdown) if countdown else _until_s(eta, now) if eta else 0.0
    if wait_s > LONGEST_S:
        raise ValueError(
            f"a delay of {wait_s:.0f} s is too long: RabbitMQ's delay queues count to {LONGEST_S} s"
        )
    if wait_s <= 0 or (eta and not countdown and wait_s >= 1):
        return options
    return {**options, "countdown": math.ceil(wait_s), "eta": None}


def _until_s(eta: Any, now: datetime) -> float:
    when = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
    return float(((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds())
