"""`celery inspect scheduled`: what waits for its time in the sets, beside what waits in the worker's memory.

The sets belong to all workers of a broker, so each of them answers with the same jobs: those that are due
next, SHOWN_LIMIT at most.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import redis

from celery_impl.sidekiq.jobs.entry_format import arguments_of, queue_name, split
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE, Sets

#: Jobs of each set that an answer shows.
SHOWN_LIMIT: Final = 1000
#: The names of the command, with that of old.
NAMES: Final = ("scheduled", "dump_schedule")
#: What Celery's own answer has as the priority of a timer.
TIMER_PRIORITY: Final = 6


def show() -> None:
    """Have the workers of this process show what waits in the sets; once is enough."""
    from celery.worker.control import Panel  # late: loaded wherever there is a worker

    known: dict[str, Callable[..., Any]] = Panel.data
    if known[NAMES[0]].__module__ != __name__:
        shown = _with_sets(known[NAMES[0]])
        known.update(dict.fromkeys(NAMES, shown))


def _with_sets(celerys: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def scheduled(state: Any, **options: Any) -> list[Any]:
        """List of currently scheduled ETA/countdown tasks."""
        shown = list(celerys(state, **options))
        sets = getattr(state.consumer.task_consumer.channel, "sets", None)
        if sets is not None:
            with suppress(redis.RedisError, OSError):  # the worker's own are shown all the same
                shown += [job for name in (SCHEDULE, RETRY) for job in _waiting(sets, name, state.hostname)]
        return shown

    return scheduled


def _waiting(sets: Sets, name: str, hostname: str) -> Iterator[dict[str, Any]]:
    found: Any = sets.client.zrange(sets.prefix + name, 0, SHOWN_LIMIT - 1, withscores=True)
    for member, at in found:
        with suppress(ValueError, TypeError, KeyError, AttributeError):  # no job: `celery sidekiq` shows it
            yield _shown(*split(member.decode()), at, hostname)


def _shown(queue_key: str, text: str, at: float, hostname: str) -> dict[str, Any]:
    message = json.loads(text)
    headers, (args, kwargs) = message["headers"], arguments_of(message)
    request = {
        "id": headers["id"],
        "name": headers["task"],
        "args": headers.get("argsrepr") if args is None else args,
        "kwargs": headers.get("kwargsrepr") if kwargs is None else kwargs,
        "type": headers["task"],
        "hostname": hostname,
        "time_start": None,
        "acknowledged": False,
        "delivery_info": {**message["properties"]["delivery_info"], "routing_key": queue_name(queue_key)},
        "worker_pid": None,
    }
    eta = datetime.fromtimestamp(at, UTC).isoformat()
    return {"eta": eta, "priority": TIMER_PRIORITY, "request": request}
