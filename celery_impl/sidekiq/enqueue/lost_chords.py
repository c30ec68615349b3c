"""A chord whose results are lost, with a Redis that kept nothing: its callback goes to the dead set.

Celery counts a chord's parts in the result backend. Where the count is gone, each part that ends finds none
and does nothing, and the callback never runs. Nor has a part a count while the sender still sends the chord,
or once the callback was sent or has failed. So

1. a part that ends and finds no count notes the chord in the broker (`note`);
2. GRACE_S later a worker looks again (`bury_lost`). A callback that was not sent, has no result and no count
   is lost.

For results in Redis alone: other backends keep what they count.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from celery import states
from celery.backends.redis import RedisBackend

from celery_impl.sidekiq.jobs.entry_format import DeadJob
from celery_impl.sidekiq.redis.sets import BATCH, Sets

#: Seconds for which a sender may take to send a chord.
GRACE_S: Final = 300.0
#: Seconds between two looks.
LOOK_S: Final = 5.0
#: Seconds for which a callback that was sent is remembered.
SENT_AGE_S: Final = 24 * 3600

NOTES: Final = "sidekiq:chords"
SENT: Final = "sidekiq:chord-sent:"
ERROR_CLASS: Final = "ChordError"

logger = logging.getLogger(__name__)


def callback_id(request: Mapping[str, Any]) -> str | None:
    """Return the id of the callback of the chord that a job is part of, or None."""
    chord = request.get("chord")
    return (chord.get("options") or {}).get("task_id") if isinstance(chord, Mapping) else None


def note(app: Any, request: Mapping[str, Any], *, sent: bool) -> None:
    """A part of a chord has ended; `sent`: with it the callback was sent. Raise the brokers' errors."""
    group, backend = request.get("group"), app.backend
    if not group or not isinstance(backend, RedisBackend):
        return
    if not sent and backend.client.exists(_count_key(backend, group)):
        return
    with app.producer_or_acquire() as producer:
        sets = getattr(producer.channel, "sets", None)
        if not isinstance(sets, Sets):
            return
        if sent:
            sets.client.set(f"{sets.prefix}{SENT}{group}", 1, ex=SENT_AGE_S)
        else:
            member = json.dumps({"group": group, "callback": request["chord"]}, default=repr)
            sets.client.zadd(sets.prefix + NOTES, {member: time.time() + GRACE_S}, nx=True)


def bury_lost(app: Any, sets: Sets) -> int:
    """Bury the callbacks that are lost; return how many. Raise the brokers' errors."""
    key, lost = sets.prefix + NOTES, 0
    due: Any = sets.client.zrangebyscore(key, "-inf", time.time(), start=0, num=BATCH)
    for member in due:
        known = json.loads(member)
        callback = _lost(app, sets, known["group"], known["callback"])
        if sets.client.zrem(key, member) and callback is not None:
            sets.bury(callback)
            logger.error("%s of chord %s is lost: its results are gone", callback.task, known["group"])
            lost += 1
    return lost


def _lost(app: Any, sets: Sets, group: str, callback: Mapping[str, Any]) -> DeadJob | None:
    backend, job_id = app.backend, callback["options"]["task_id"]
    if sets.client.exists(f"{sets.prefix}{SENT}{group}") or backend.get_state(job_id) in states.READY_STATES:
        return None
    if backend.client.exists(_count_key(backend, group)):
        return None
    now = time.time()
    return DeadJob(
        id=job_id,
        task=str(callback.get("task") or ""),
        args=list(callback.get("args") or ()),
        kwargs=dict(callback.get("kwargs") or {}),
        queue=str(callback["options"].get("queue") or app.conf.task_default_queue),
        retries=0,
        error_class=ERROR_CLASS,
        error_message=f"the results of group {group} are gone from the result backend: send the chord again",
        failed_at=now,
        buried_at=now,
    )


def _count_key(backend: Any, group: str) -> Any:
    return backend.get_key_for_group(group, ".s")
