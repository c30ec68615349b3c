"""The workers that give signs of life, and what they run; see `heartbeat`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from celery import Celery

from celery_impl.sidekiq.redis.store import Store
from celery_impl.sidekiq.worker.heartbeat import WORKER, WORKERS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker at its last sign of life, at most some seconds ago.

    `running`: at most 100 jobs, each with id, task, args (shortened text) and since (epoch seconds).
    """

    name: str
    host: str
    pid: int
    at: float
    concurrency: int
    queues: list[str]
    busy: int
    running: list[dict[str, Any]]


class Workers:
    """The living workers of an app, by name."""

    def __init__(self, app: Celery) -> None:
        self._store = Store.of(app, "Workers")

    def __iter__(self) -> Iterator[Worker]:
        """Yield each worker with a heartbeat in the last 5 s, except those whose record cannot be read."""
        client, prefix = self._store.client, self._store.prefix
        names: Any = client.zrange(prefix + WORKERS, 0, -1)
        ordered = sorted(name.decode() for name in names)
        records: Any = client.mget([f"{prefix}{WORKER}{name}" for name in ordered]) if ordered else []
        self._forget([name for name, record in zip(ordered, records, strict=True) if record is None])
        for name, record in zip(ordered, records, strict=True):
            if record is not None and (found := _read(name, record)) is not None:
                yield found

    def size(self) -> int:
        """Return how many workers live."""
        return sum(1 for _ in self)

    def _forget(self, gone: list[str]) -> None:
        if gone:
            self._store.client.zrem(self._store.prefix + WORKERS, *gone)


def _read(name: str, record: bytes) -> Worker | None:
    try:
        known = json.loads(record)
        return Worker(**{field: known[field] for field in Worker.__slots__})
    except (ValueError, TypeError, KeyError, RecursionError):
        logger.warning("the record of worker %s cannot be read: a newer version wrote it; upgrade here", name)
        return None
