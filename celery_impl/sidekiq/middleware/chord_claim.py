"""A part of a chord that is delivered again: the claim of the process that died with it is taken away.

From Celery 5.7 on the last part claims the chord in Redis, for 10 s by default, before it sends the callback.
A process that dies between the two leaves its claim; its job is back within seconds, finds the chord claimed,
and nobody ever sends the callback. Where the process lives after all, both may send it: at least once.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from celery.backends.redis import RedisBackend

#: What Celery's claim becomes when the callback is sent.
_TAKE_AWAY: Final = """
local claim = redis.call('GET', KEYS[1])
if claim and claim ~= 'done' then return redis.call('DEL', KEYS[1]) end
return 0
"""

logger = logging.getLogger(__name__)


def take_away(task: Any, request: Any) -> None:
    """Take the claim away if this job is a part of a chord and was delivered before."""
    if not (request.chord and request.group and (request.delivery_info or {}).get("redelivered")):
        return
    backend = task.backend
    if not isinstance(backend, RedisBackend):
        return
    try:
        backend.client.eval(_TAKE_AWAY, 1, backend.get_key_for_group(request.group, ".c"))
    except Exception:  # the part runs all the same, and what it does at its end fails or not
        logger.warning("could not take a chord's claim away for job %s", request.id, exc_info=True)
