"""An app's broker, as the API sees it: opened once for each app and kept."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Final

import redis
from celery import Celery

from celery_impl.sidekiq.jobs.broker_support import is_in_memory, refuse
from celery_impl.sidekiq.redis.set_moves import Moves, Source
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

#: Characters that mean something in a pattern of Redis.
_SPECIAL: Final = frozenset("*?[]\\^-")


class NoSidekiqError(RuntimeError):
    """The app has no sets to look at; the text says what to do."""


class Store:
    """The broker of one app, with its sets (`jobs.job_store`); `Store.of` opens it.

    Threads and forked processes may share it.
    """

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
        if is_in_memory(app):
            raise NoSidekiqError(
                f"{what} needs Redis, and this app's broker is in memory: ask app.control.inspect()"
            )
        if app not in _stores:
            _stores[app] = cls(app)
        return _stores[app]

    def each(self, name: str) -> Iterator[tuple[bytes, float]]:
        """As JobStore."""
        return self.pages.each(name)

    def size(self, name: str) -> int:
        """As JobStore."""
        found: Any = self.client.zcard(self.prefix + name)
        return int(found)

    def lowest(self, name: str) -> float | None:
        """As JobStore."""
        first: Any = self.client.zrange(self.prefix + name, 0, 0, withscores=True)
        return float(first[0][1]) if first else None

    def containing(self, name: str, text: str) -> Iterator[tuple[bytes, float]]:
        """As JobStore; what comes or goes meanwhile may be seen or not, or twice."""
        wanted = "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in text)
        found: Iterator[tuple[bytes, float]] = self.client.zscan_iter(
            self.prefix + name, match=f"*{wanted}*", count=1000
        )
        return found

    def requeue(self, name: str, jobs: Iterable[tuple[bytes, str, str]]) -> int:
        """As JobStore."""
        return self.moves.queue(Source(name), jobs)

    def kill(self, name: str, dead_jobs: Iterable[tuple[bytes, str]], *, now: float) -> int:
        """As JobStore."""
        return self.moves.bury(Source(name), dead_jobs, now=now)

    def delete(self, name: str, members: Iterable[bytes]) -> int:
        """As JobStore."""
        return self.moves.delete(Source(name), members)

    def clear(self, name: str) -> int:
        """As JobStore."""
        return self.moves.clear(Source(name))

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.release()

    def queue_keys(self, name: str) -> list[str]:
        """Return the keys, without prefix, of a queue's lists: the most urgent priority first."""
        return [self.channel._q_for_pri(name, step) for step in self.channel.priority_steps]  # noqa: SLF001 - pinned by a test


_stores: weakref.WeakKeyDictionary[Celery, Store] = weakref.WeakKeyDictionary()
