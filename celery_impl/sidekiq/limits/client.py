"""A Redis client for what is not a message: locks of unique jobs and the counts of limits.

One for each app, with as many connections as threads use at once: kombu's own pool has ten, and fails for the
eleventh. `redis.deadline` bounds them.
"""

from __future__ import annotations

import weakref
from typing import Any, Final

import redis
from celery import Celery

from celery_impl.sidekiq.redis.server_clock import AskedClock
from celery_impl.sidekiq.redis.store import Store

_clocks: Final[weakref.WeakKeyDictionary[Celery, AskedClock]] = weakref.WeakKeyDictionary()
_clients: Final[weakref.WeakKeyDictionary[Celery, redis.Redis]] = weakref.WeakKeyDictionary()


def client(app: Celery) -> redis.Redis:
    """Return the app's client; raise NoSidekiqError, or OperationalError if the broker is away at first."""
    found = _clients.get(app)
    if found is None:
        pool: Any = Store.of(app, "a limit or a unique job").channel.pool
        own = redis.ConnectionPool(connection_class=pool.connection_class, **pool.connection_kwargs)
        found = _clients[app] = redis.Redis(connection_pool=own)
        # The garbage collector may find the sockets of an unused app before what would close them.
        weakref.finalize(app, own.disconnect).atexit = False
    return found


def server_now(app: Celery) -> float:
    """Return the time of the app's broker, in seconds since 1970; raise as `client`, or redis-py's errors."""
    found = _clocks.get(app)
    if found is None:
        found = _clocks[app] = AskedClock(client(app))
    return found.now()


def prefix(app: Celery) -> str:
    """Return what all keys of the app's broker begin with."""
    return str(Store.of(app, "a limit or a unique job").prefix)
