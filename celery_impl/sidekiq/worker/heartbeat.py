"""Heartbeat of a worker, each second: its name, what it runs, how much it has done.

A record of a worker ends by itself some seconds after the worker; the counts of its last second may be lost
with it. Written by the maintenance thread, read by `api.workers` and `api.stats`.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

from celery_impl.sidekiq.redis.sets import Sets

#: Seconds between two signs of life.
BEAT_S: Final = 1.0
#: Seconds after which a worker without one counts as gone.
GONE_S: Final = 5
#: Running jobs that a record names.
RUNNING_LIMIT: Final = 100
#: Characters of a running job's arguments that a record shows.
ARGS_LIMIT: Final = 200

WORKERS: Final = "sidekiq:workers"
WORKER: Final = "sidekiq:worker:"
PROCESSED: Final = "sidekiq:stat:processed"
FAILED: Final = "sidekiq:stat:failed"

_failures = 0


def count_failure() -> None:
    """Count a run that ended in an error, in the worker's main process."""
    global _failures  # noqa: PLW0603 - one worker a process, as Celery's own state
    _failures += 1


def failures() -> int:
    """Return how many runs ended in an error here."""
    return _failures


def add_failures(number: int) -> None:
    """Count the runs of a child of this worker that ended in an error."""
    global _failures  # noqa: PLW0603 - as above
    _failures += number


class Heartbeat:
    """The signs of life of the worker with this consumer; it outlives its connections."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._told = (0, 0)

    def beat(self, sets: Sets, now: float) -> None:
        """Write the record; on redis-py's errors, which are raised, the counts are written next time."""
        name, counts = self._consumer.hostname, self._counts()
        with sets.client.pipeline(transaction=True) as pipe:
            pipe.set(f"{sets.prefix}{WORKER}{name}", json.dumps(self._record(now)), ex=GONE_S)
            pipe.zadd(sets.prefix + WORKERS, {name: now})
            for key, count, told in zip((PROCESSED, FAILED), counts, self._told, strict=True):
                pipe.incrby(sets.prefix + key, count - told)
            pipe.execute()
        self._told = counts

    def _counts(self) -> tuple[int, int]:
        return _state().all_total_count[0], _failures

    def _record(self, now: float) -> dict[str, Any]:
        consumer = self._consumer
        return {
            "v": 1,
            "name": consumer.hostname,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "at": now,
            "concurrency": consumer.pool.num_processes,
            "queues": sorted(queue.name for queue in consumer.task_consumer.queues),
            "busy": len(_state().active_requests),
            "running": list(_running()),
        }


def _running() -> Iterator[dict[str, Any]]:
    for request in tuple(_state().active_requests)[:RUNNING_LIMIT]:
        yield {
            "id": request.id,
            "task": request.name,
            "args": str(request.argsrepr)[:ARGS_LIMIT],
            "since": request.time_start,
        }


def _state() -> Any:
    return sys.modules["celery.worker.state"]  # loaded wherever there is a worker
