from __future__ import annotations

import threading
import time
from typing import Any

from celery_impl.sidekiq.sets import DEAD, DEAD_AGE_S, DEAD_LIMIT, SCHEDULE, Grave, entry


def grave(job_id: str, failed_at: float) -> Grave:
    return Grave(
        id=job_id,
        task="t",
        args=[],
        kwargs={},
        queue="celery",
        retries=25,
        error_class="ValueError",
        error_message="no",
        failed_at=failed_at,
    )


def test_only_what_is_due_is_queued_and_the_next_due_first(lab: Any) -> None:
    lab.redis.zadd(SCHEDULE, {entry("q", "second"): 20, entry("q", "first"): 10, entry("q", "later"): 30})

    assert lab.sets.promote(now=25) == 2

    assert [lab.redis.rpop("q") for _ in range(3)] == ["first", "second", None]
    assert lab.sets.waiting(SCHEDULE) == ["later"]


def test_two_pollers_at_once_queue_every_entry_exactly_once(lab: Any) -> None:
    messages = {f"message {number}" for number in range(5000)}
    lab.redis.zadd(SCHEDULE, {entry("q", message): 1 for message in messages})
    moved: list[int] = []
    pollers = [threading.Thread(target=lambda: moved.append(lab.sets.promote(now=2))) for _ in range(2)]

    for poller in pollers:
        poller.start()
    for poller in pollers:
        poller.join()

    queued = lab.redis.lrange("q", 0, -1)
    assert sum(moved) == len(queued) == 5000
    assert set(queued) == messages


def test_a_message_is_queued_byte_for_byte_as_it_was_sent(lab: Any) -> None:
    message = '{"empty": [], "big": 12345678901234567890, "text": "a\\nb\nc €"}'
    lab.redis.zadd(SCHEDULE, {entry("q\x06\x163", message): 1})

    lab.sets.promote(now=2)

    assert lab.redis.rpop("q\x06\x163") == message


def test_an_entry_that_is_none_of_ours_stays_where_it_is(lab: Any) -> None:
    lab.redis.zadd(SCHEDULE, {"corrupt": 1, entry("q", "good"): 2})

    assert lab.sets.promote(now=3) == 1

    assert lab.redis.zrange(SCHEDULE, 0, -1) == ["corrupt"]
    assert lab.sets.waiting(SCHEDULE) == []


def test_the_dead_set_drops_the_oldest_beyond_its_limit(lab: Any) -> None:
    now = time.time()
    lab.redis.zadd(DEAD, {f"old {number}": now - 1000 + number / 100 for number in range(DEAD_LIMIT)})

    lab.sets.bury(grave("new", now))

    assert lab.redis.zcard(DEAD) == DEAD_LIMIT
    assert lab.redis.zscore(DEAD, "old 0") is None
    assert lab.redis.zscore(DEAD, "old 1") is not None


def test_the_dead_set_forgets_after_180_days_and_lists_the_newest_first(lab: Any) -> None:
    now = time.time()
    for job_id, age in (("forgotten", DEAD_AGE_S + 1), ("kept", DEAD_AGE_S - 1), ("new", 0)):
        lab.sets.bury(grave(job_id, now - age))

    assert [found.id for found in lab.sets.graves()] == ["new", "kept"]


def test_renewing_does_not_bring_back_what_was_acknowledged(lab: Any) -> None:
    lab.redis.zadd("unacked_index", {"held": 1})

    lab.sets.renew("unacked_index", ["held", "acknowledged"], 5)

    assert lab.redis.zrange("unacked_index", 0, -1, withscores=True) == [("held", 5)]
