"""What the broker of an app can do for Sidekiq: which features it lacks, and which class is its dead set.

`Sidekiq(app)` sets it for a broker that is not Redis. Imports nothing of ours: anybody may ask.
"""

from __future__ import annotations

import weakref
from typing import Any, Final

#: What a URL of RabbitMQ begins with.
SCHEMES: Final = ("amqp", "amqps", "pyamqp")
#: What a URL of a broker in memory begins with.
IN_MEMORY: Final = ("memory", "inprocess")
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
    "PeriodicEntries": "beat's lease and ledger are kept in Redis: run one beat with Celery's scheduler",
    "this": "it is kept in Redis",
}


#: The class that `DeadSet(app)` returns, of apps whose broker brings its own.
_dead_sets: Final[weakref.WeakKeyDictionary[Any, type]] = weakref.WeakKeyDictionary()


class RabbitMQError(RuntimeError):
    """RabbitMQ cannot do this, or a queue of another kind is in the way; the text says what to do."""


def serves(app: Any) -> bool:
    """Return whether the app's broker is RabbitMQ."""
    url = app.conf.broker_url or ""
    first = url if isinstance(url, str) else next(iter(url), "")
    return first.partition("://")[0] in SCHEMES


def is_in_memory(app: Any) -> bool:
    """Return whether the app's broker is in the memory of this process: `memory://`, or a run of its own."""
    if getattr(vars(app).get("amqp"), "keeps_jobs", None) is not None:  # `inprocess.celery` runs it
        return True
    url = app.conf.broker_url or ""
    first = url if isinstance(url, str) else next(iter(url), "")
    return first.partition("://")[0] in IN_MEMORY


def refuse(app: Any, what: str) -> None:
    """Raise RabbitMQError where the app's broker is RabbitMQ."""
    if serves(app):
        why = REASONS.get(what, REASONS["this"])
        raise RabbitMQError(f"{what} does not work on RabbitMQ: {why}; or use a redis:// broker")


def set_dead_set(app: Any, dead_set: type) -> None:
    """Have `DeadSet(app)` return an object of this class."""
    _dead_sets[app] = dead_set


def dead_set_of(app: Any) -> type | None:
    """Return the class of the app's dead set, or None where Redis keeps it."""
    return _dead_sets.get(app)
