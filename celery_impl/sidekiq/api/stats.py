"""All counts at one look, also as the JSON of Sidekiq's `/stats`.

def stats(environ, start_response):                      # WSGI; any other framework alike
    start_response("200 OK", [("Content-Type", "application/json")])
    return [stats_json(app).encode()]
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from celery import Celery

from celery_impl.sidekiq.api.queues import Queue
from celery_impl.sidekiq.api.sets import DeadSet, RetrySet, ScheduledSet
from celery_impl.sidekiq.api.workers import Workers
from celery_impl.sidekiq.redis.store import Store
from celery_impl.sidekiq.worker.heartbeat import FAILED, PROCESSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts of an app: `processed` runs were begun and `failed` ended in an error since ever.

    Both come from the workers each second; a worker that is killed takes its last second's with it.
    `queues` maps a queue's name to its size; `latency` is the age in seconds of the oldest queued job.
    """

    processed: int
    failed: int
    busy: int
    workers: int
    enqueued: int
    scheduled: int
    retries: int
    dead: int
    latency: float
    queues: dict[str, int]
    paused: list[str]

    @classmethod
    def of(cls, app: Celery) -> Stats:
        """Count now; raise the broker's errors."""
        store, queues, workers = Store.of(app, "Stats"), Queue.all(app), list(Workers(app))
        counts: Any = store.client.mget([store.prefix + key for key in (PROCESSED, FAILED)])
        processed, failed = (int(count or 0) for count in counts)
        sizes = {queue.name: queue.size() for queue in queues}
        return cls(
            processed=processed,
            failed=failed,
            busy=sum(worker.busy for worker in workers),
            workers=len(workers),
            enqueued=sum(sizes.values()),
            scheduled=ScheduledSet(app).size(),
            retries=RetrySet(app).size(),
            dead=DeadSet(app).size(),
            latency=max((queue.latency() for queue in queues), default=0.0),
            queues=sizes,
            paused=[queue.name for queue in queues if queue.paused()],
        )


def stats_json(app: Celery, *, clock: Callable[[], float] = time.time) -> str:
    """Return the document of `/stats`, with Sidekiq's names; raise the broker's errors."""
    return json.dumps(stats_document(app, clock=clock))


def stats_document(app: Celery, *, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """As `stats_json`, before it is text."""
    stats, info = Stats.of(app), _info(Store.of(app))
    known = asdict(stats)
    known["processes"], known["default_latency"] = known.pop("workers"), _default_latency(app)
    return {
        "sidekiq": known,
        "redis": info,
        "server_utc_time": datetime.fromtimestamp(clock(), tz=UTC).strftime("%H:%M:%S UTC"),
    }


def _default_latency(app: Celery) -> float:
    return Queue(app, app.conf.task_default_queue).latency()


def _info(store: Store) -> dict[str, Any]:
    known: Any = store.client.info()
    names = ("redis_version", "uptime_in_days", "connected_clients", "used_memory_human")
    return {name: known.get(name) for name in (*names, "used_memory_peak_human")}
