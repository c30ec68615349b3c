from __future__ import annotations

import inspect
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import celery.worker.request
import pytest
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from celery_impl.sidekiq.sets import RETRY, SCHEDULE


def test_a_countdown_waits_in_the_schedule_set_with_no_eta_left(lab: Any) -> None:
    lab.sample().note.apply_async(("a",), countdown=60)

    [(text, due)] = lab.redis.zrange(SCHEDULE, 0, -1, withscores=True)
    key, _, message = text.partition("\n")
    assert key == "celery"
    assert json.loads(message)["headers"]["eta"] is None
    assert due == pytest.approx(time.time() + 60, abs=5)
    assert lab.redis.llen("celery") == 0


def test_an_eta_that_has_passed_goes_straight_to_the_queue(lab: Any) -> None:
    lab.sample().note.apply_async(("a",), eta=datetime.now(UTC) - timedelta(seconds=1))

    assert lab.redis.llen("celery") == 1
    assert lab.redis.zcard(SCHEDULE) == 0


def test_a_retry_waits_in_the_retry_set(lab: Any) -> None:
    lab.sample().note.apply_async(("a",), countdown=60, retries=1)

    assert (lab.redis.zcard(RETRY), lab.redis.zcard(SCHEDULE)) == (1, 0)


def test_a_countdown_keeps_its_priority(lab: Any) -> None:
    lab.sample().note.apply_async(("a",), countdown=60, priority=6)

    lab.sets.promote(now=time.time() + 61)

    assert lab.redis.llen("celery\x06\x166") == 1


def test_countdowns_of_one_batch_all_reach_the_set(lab: Any) -> None:
    sample = lab.sample()
    with sample.app.producer_or_acquire() as producer, producer.batch():
        for job in "abc":
            sample.note.apply_async((job,), countdown=60, producer=producer)

    assert lab.redis.zcard(SCHEDULE) == 3


def test_a_key_prefix_reaches_the_sets_and_the_queues(lab: Any) -> None:
    sample = lab.sample(QUEUE_OR_TASK_KEY_PREFIX="mine:")
    sample.note.apply_async(("a",), countdown=1)
    assert lab.redis.zcard(f"mine:{SCHEDULE}") == 1
    lab.worker()
    lab.eventually(lambda: lab.runs("done", "a"))
    assert all(key.startswith("mine:") for key in lab.redis.scan_iter())


@pytest.mark.parametrize("pool", [("--concurrency", "2"), ("--pool", "solo"), ("--pool", "threads")])
def test_neither_a_wait_nor_a_job_beyond_the_visibility_timeout_repeats(lab: Any, pool: tuple[str]) -> None:
    sample = lab.sample(QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S="1.5")
    lab.workers(2, *pool)
    begin = time.monotonic()
    sample.note.apply_async(("waiting",), countdown=2.5)
    sample.note.delay("long", 3.5)

    lab.eventually(lambda: lab.runs("done", "long") and lab.runs("done", "waiting"))
    lab.eventually(lambda: lab.redis.hlen("unacked") == 0)

    assert len(lab.runs("start", "long")) == 1
    [(_, started)] = lab.runs("start", "waiting")
    assert started - begin >= 2.5 - 0.01


def test_the_private_parts_of_kombu_and_celery_that_we_use_are_as_we_know_them() -> None:
    """A failure means: read the new kombu and Celery, then mend `transport`, `keeper`, `request`, `held`."""
    redis: Any = kombu_redis
    assert list(inspect.signature(redis.Channel._put).parameters) == ["self", "queue", "message", "kwargs"]
    assert "publish_batch.add('lpush', key, dumps(message))" in inspect.getsource(redis.Channel._put)
    assert list(inspect.signature(redis.PublishBatch.add).parameters) == ["self", "name", "args"]
    assert list(inspect.signature(redis.Channel._q_for_pri).parameters) == ["self", "queue", "pri"]
    assert "self._expires[queue] = expire" in inspect.getsource(redis.Channel._new_queue)
    assert "self._delivered = OrderedDict()" in inspect.getsource(virtual.QoS.__init__)
    assert "self.connection_class_ssl" in inspect.getsource(redis.Channel._connparams)
    assert callable(inspect.getattr_static(celery.worker.request.Request, "_context").__get__)
