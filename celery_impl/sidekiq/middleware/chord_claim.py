"""A part of a chord that is delivered again: it runs, and the claim of the process that died goes away.

With `worker_deduplicate_successful_tasks` Celery leaves out a job that comes again and has a stored result. A
part whose process died between its result and its count would never be counted: parts run again all the same.

From Celery 5.7 on the last part claims the chord in Redis, for 10 s by default, before it sends the callback.
A process that dies between the two leaves its claim; its job is back within seconds, finds the chord claimed,
and nobody ever sends the callback. Where the process lives after all, both may send it: at least once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from celery.backends.redis import RedisBackend

#: What Celery's claim becomes when the callback is sent.
_TAKE_AWAY: Final = """
local claim = redis.call('GET', KEYS[1])
if claim and claim ~= 'done' then return redis.call('DEL', KEYS[1]) end
return 0
"""

#: In the request of a part that was delivered before, where its delivery does not say so.
AGAIN: Final = "sidekiq_again"

logger = logging.getLogger(__name__)


def run_again(task: Any, trace: Callable[..., Any]) -> Callable[..., Any]:
    """Return Celery's tracer of a task, in which a part of a chord that was delivered before runs again."""

    def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        delivery = (request or {}).get("delivery_info") or {}
        left_out = task.app.conf.worker_deduplicate_successful_tasks and delivery.get("redelivered")
        if left_out and request.get("chord"):
            request = {**request, "delivery_info": {**delivery, "redelivered": False}, AGAIN: True}
        return trace(uuid, args, kwargs, request)

    return trace_task


def take_away(task: Any, request: Any) -> None:
    """Take the claim away if this job is a part of a chord and was delivered before."""
    again = (request.delivery_info or {}).get("redelivered") or AGAIN in vars(request)
    if not (request.chord and request.group and again):
        return
    backend = task.backend
    if not isinstance(backend, RedisBackend):
        return
    try:
        backend.client.eval(_TAKE_AWAY, 1, backend.get_key_for_group(request.group, ".c"))
    except Exception:  # the part runs all the same, and what it does at its end fails or not
        logger.warning("could not take a chord's claim away for job %s", request.id, exc_info=True)
