"""Which runs of an entry are queued or running; `overlap: skip` queues no other meanwhile.

Each run is a member of a sorted set of its entry: the run's id, scored by the time when it expires.

1. The beat sets it when it queues the run, for as long as the run may wait: until it expires.
2. The process that runs the job sets it anew before the first line of the task, for RUN_S.
3. The worker's maintenance thread renews the marks of what it runs, every second, where they are still set.
4. The process that runs the job removes it when the task has ended, however it ended.

The mark of a run whose process was killed expires after RUN_S, unless the run began again. A run that waits
for a retry is neither queued nor running; the retry is marked as it begins. A broker that is silent for
RUN_S may cost one overlap, since no worker could renew. Workers without `Sidekiq(app)` mark nothing: their
runs count as under way until they expire.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from celery_impl.sidekiq.memory.store import memory_store
from celery_impl.sidekiq.redis.deadline import within
from celery_impl.sidekiq.redis.server_clock import CLOCK_S, time_argument
from celery_impl.sidekiq.redis.sets import Sets

#: The header of a periodic run: `entry`, `due` (the moment of its tick) and `overlap`.
HEADER: Final = "periodic"
#: Seconds after which the mark of a run expires if it is not renewed.
RUN_S: Final = 5.0
#: Seconds that setting a mark may delay its run.
WITHIN_S: Final = 1.0
#: Prefix of the keys; the entry's name follows.
RUNS: Final = "sidekiq:beat:runs:"

_BEGIN: Final = f"{CLOCK_S} return redis.call('ZADD', KEYS[1], clock() + ARGV[3], ARGV[2])"
_RENEW: Final = f"{CLOCK_S} return redis.call('ZADD', KEYS[1], 'XX', clock() + ARGV[3], ARGV[2])"

logger = logging.getLogger(__name__)


def marked(task: Any, trace: Callable[..., Any]) -> Callable[..., Any]:
    """Return Celery's tracer of a task, but a periodic run is marked for as long as it runs."""

    def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        headers = request and (request.get("headers") or request)
        if not headers or HEADER not in headers or memory_store(task.app) is not None:
            return trace(uuid, args, kwargs, request)
        _tell(task, headers, lambda sets, key: begin(sets, key, uuid))
        try:
            return trace(uuid, args, kwargs, request)
        finally:
            _tell(task, headers, lambda sets, key: sets.client.zrem(key, uuid))

    return trace_task


def renew(sets: Sets, requests: Iterable[Any]) -> None:
    """Renew the marks of the periodic runs among what a worker runs; raise redis-py's errors."""
    for request in tuple(requests):
        if key := _key(sets, request.message.headers):
            sets.client.eval(_RENEW, 1, key, "", request.id, RUN_S)


def begin(sets: Sets, key: str, run: str, *, now: float | None = None) -> None:
    """Mark a run as begun; `now` is for tests."""
    sets.client.eval(_BEGIN, 1, key, time_argument(now), run, RUN_S)


def _tell(task: Any, headers: Mapping[str, Any], tell: Callable[[Sets, str], object]) -> None:
    try:
        with within(WITHIN_S), task.app.producer_or_acquire() as producer:
            sets = producer.channel.sets
            if key := _key(sets, headers):
                tell(sets, key)
    except Exception:  # the run is what counts; at worst the next tick runs beside it, or is dropped
        logger.warning("could not mark a run of %s", task.name, exc_info=True)


def _key(sets: Sets, headers: Any) -> str | None:
    """Return the key of the marks of a run with these headers; None where the entry allows overlap."""
    tick = (headers or {}).get(HEADER)
    if not isinstance(tick, dict) or tick.get("overlap") != "skip":
        return None
    return f"{sets.prefix}{RUNS}{tick.get('entry')}"
