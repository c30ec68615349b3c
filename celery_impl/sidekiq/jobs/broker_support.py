"""What needs Redis, and the line that says so. Imports nothing of ours: anybody may ask."""

from __future__ import annotations

from typing import Any, Final

#: What a URL of RabbitMQ begins with.
SCHEMES: Final = ("amqp", "amqps", "pyamqp")
#: Why each does not work, and what to do; the key is what was asked for.
REASONS: Final = {
    "RetrySet": "retries wait in delay queues that nobody can look into: see `rabbitmqctl list_queues`",
    "ScheduledSet": "jobs wait in delay queues that nobody can look into: see `rabbitmqctl list_queues`",
    "Queue": "a queue cannot be read without taking its jobs, nor paused: see `rabbitmqctl list_queues`, "
    "`celery control cancel_consumer`",
    "Workers": "workers tell of themselves in Redis: ask `celery inspect active`",
    "Stats": "its counts are kept in Redis: ask `rabbitmqctl list_queues` and `celery inspect stats`",
    "sidekiq_unique": "locks of unique jobs are kept in Redis: leave it out, or lock in your database",
    "sidekiq_limits": "limits shared by workers are counted in Redis: leave it out, or use rate_limit",
    "a limit or a unique job": "both are counted in Redis: leave it out, or lock in your database",
    "PeriodicEntries": "beat's lease and book are kept in Redis: run one beat with Celery's scheduler",
    "this": "it is kept in Redis",
}


class RabbitMQError(RuntimeError):
    """This broker cannot do what was asked, or a queue on it stands in the way; the text says what to do."""


def serves(app: Any) -> bool:
    """Whether the app's broker is RabbitMQ."""
    url = app.conf.broker_url or ""
    first = url if isinstance(url, str) else next(iter(url), "")
    return first.partition("://")[0] in SCHEMES


def refuse(app: Any, what: str) -> None:
    """Raise RabbitMQError where the app's broker is RabbitMQ."""
    if serves(app):
        why = REASONS.get(what, REASONS["this"])
        raise RabbitMQError(f"{what} does not work on RabbitMQ: {why}; or use a redis:// broker")
