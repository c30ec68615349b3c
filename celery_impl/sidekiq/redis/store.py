"""An app's broker, as the API sees it: opened once for each app and kept."""

from __future__ import annotations

import weakref
from typing import Any, Final

import redis
from celery import Celery

from celery_impl.sidekiq.jobs.broker_support import refuse
from celery_impl.sidekiq.redis.set_moves import Moves
from celery_impl.sidekiq.redis.set_pages import Pages
from celery_impl.sidekiq.redis.sets import Sets

#: `max_connections` of a pool that many threads share: redis-py's own default, kombu's is 10.
UNBOUNDED: Final = 2**31
#: Transport options of a look, in place of the app's, which are for its requests: a person has more patience
#: than `delay`, and a look at a silent broker still fails and does not hang.
BOUNDS: Final = {
    "socket_timeout": 5.0,
    "socket_connect_timeout": 2.0,
    "max_retries": 0,
    "max_connections": UNBOUNDED,
}


class NoSidekiqError(RuntimeError):
    """The app has no sets to look at; the text says what to do."""


class Store:
    """The broker of one app; `Store.of` opens it. Threads and forked processes may share it."""

    def __init__(self, app: Celery) -> None:
        options = {**app.conf.broker_transport_options, **BOUNDS}
        self._connection = app.connection_for_write(transport_options=options)
        self.channel: Any = self._connection.default_channel
        if not hasattr(self.channel, "sets"):
            self.close()
            raise NoSidekiqError("this app keeps no sets: call Sidekiq(app) where it is made")
        self.sets: Sets = self.channel.sets
        self.client: redis.Redis = self.sets.client
        self.prefix = self.sets.prefix
        self.moves = Moves(self.sets)
        self.pages = Pages(self.sets)

    @classmethod
    def of(cls, app: Celery, what: str = "this") -> Store:
        """Return the app's store, opened now if it is not; raise NoSidekiqError or the broker's errors.

        On RabbitMQ there is none, and `what` was asked for in vain: raise RabbitMQError.
        """
        refuse(app, what)
        if app not in _stores:
            _stores[app] = cls(app)
        return _stores[app]

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.release()

    def queue_keys(self, name: str) -> list[str]:
        """Return the keys, without prefix, of a queue's lists: the most urgent priority first."""
        return [self.channel._q_for_pri(name, step) for step in self.channel.priority_steps]  # noqa: SLF001 - pinned by a test


_stores: weakref.WeakKeyDictionary[Celery, Store] = weakref.WeakKeyDictionary()
