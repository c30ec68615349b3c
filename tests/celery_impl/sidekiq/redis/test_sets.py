from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis

from celery_impl.sidekiq.jobs.entry_format import DeadJob, entry
from celery_impl.sidekiq.redis.set_moves import Moves, Source
from celery_impl.sidekiq.redis.sets import DEAD, DEAD_AGE_S, DEAD_LIMIT, RETRY, SCHEDULE


def dead_job(job_id: str, failed_at: float) -> DeadJob:
    return DeadJob(
        id=job_id,
        task="t",
        args=[],
        kwargs={},
        queue="celery",
        retries=25,
        error_class="ValueError",
        error_message="no",
        failed_at=failed_at,
        buried_at=failed_at,
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


def test_what_is_due_and_cannot_be_queued_is_told_once_with_what_to_do(
    lab: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lab.redis.set("taken", "by another program")
    lab.redis.zadd(SCHEDULE, {"corrupt": 1})
    lab.redis.zadd(RETRY, {"v2\nnewer": 1})
    lab.sets.promote(now=3)
    lab.redis.zadd(SCHEDULE, {entry("taken", "job"): 0, entry("q", "good"): 2})

    assert lab.sets.promote(now=3) == 1
    assert lab.sets.promote(now=3) == 0

    [corrupt, newer, no_list] = [record.getMessage() for record in caplog.records]
    assert "sidekiq:schedule is due and cannot be queued: corrupt" in corrupt
    assert "sidekiq:retry is due and cannot be queued: written by version 2" in newer
    assert "'taken', is no list" in no_list
    assert lab.redis.zrange(SCHEDULE, 0, -1) == [entry("taken", "job"), "corrupt"]
    assert lab.redis.get("taken") == "by another program"


def test_a_move_to_a_key_that_is_something_else_leaves_the_job_where_it_was(lab: Any) -> None:
    lab.redis.set("taken", "by another program")
    lab.redis.set(DEAD, "too")
    lab.redis.zadd(RETRY, {"a": 1})
    moves = Moves(lab.sets)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        moves.queue(Source(RETRY), [(b"a", "taken", "message")])
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        moves.bury(Source(RETRY), [(b"a", "dead_job")], now=1)
    assert lab.redis.zrange(RETRY, 0, -1) == ["a"]


def test_the_dead_set_drops_the_oldest_beyond_its_limit(lab: Any) -> None:
    now = time.time()
    lab.redis.zadd(DEAD, {f"old {number}": now - 1000 + number / 100 for number in range(DEAD_LIMIT)})

    lab.sets.bury(dead_job("new", now))

    assert lab.redis.zcard(DEAD) == DEAD_LIMIT
    assert lab.redis.zscore(DEAD, "old 0") is None
    assert lab.redis.zscore(DEAD, "old 1") is not None


def test_the_dead_set_forgets_after_180_days_and_lists_the_newest_first(lab: Any) -> None:
    now = time.time()
    for job_id, age in (("forgotten", DEAD_AGE_S + 1), ("kept", DEAD_AGE_S - 1), ("new", 0)):
        lab.sets.bury(dead_job(job_id, now - age))

    assert [found.id for found in lab.sets.dead_jobs()] == ["new", "kept"]


def test_renewing_does_not_bring_back_what_was_acknowledged(lab: Any) -> None:
    lab.redis.zadd("unacked_index", {"held": 1})

    lab.sets.renew("unacked_index", ["held", "acknowledged"], 5)

    assert lab.redis.zrange("unacked_index", 0, -1, withscores=True) == [("held", 5)]
