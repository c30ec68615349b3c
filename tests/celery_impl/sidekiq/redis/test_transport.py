from __future__ import annotations

import inspect
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import celery.worker.request
import celery.worker.state
import pytest
from celery import Celery
from celery.concurrency import asynpool
from celery.worker.consumer import Consumer
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from celery_impl.sidekiq.install import CELERYS_CONSUMER
from celery_impl.sidekiq.jobs.entry_format import split
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE


def test_a_countdown_waits_in_the_schedule_set_with_no_eta_left(lab: Any) -> None:
    lab.sample().note.apply_async(("a",), countdown=60)

    [(text, due)] = lab.redis.zrange(SCHEDULE, 0, -1, withscores=True)
    key, message = split(text)
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


@pytest.mark.parametrize("fetch", ["lease", "timeout"])
def test_neither_a_wait_nor_a_job_beyond_the_visibility_timeout_repeats_in_any_pool(
    lab: Any, fetch: str
) -> None:
    """Any of the workers would give back what another one holds; each pool has a queue of its own."""
    sample = lab.sample(QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S="1.5", QUEUE_OR_TASK_FETCH=fetch)
    pools = ("prefork", "solo", "threads")
    lab.workers_each(*(("--pool", pool, "--queues", pool, "--concurrency", "2") for pool in pools))
    begin = time.monotonic()
    for pool in pools:
        sample.note.apply_async((f"waiting-in-{pool}",), countdown=2.5, queue=pool)
        sample.note.apply_async((f"long-in-{pool}", 3.5), queue=pool)

    jobs = [f"{kind}-in-{pool}" for kind in ("waiting", "long") for pool in pools]
    lab.eventually(lambda: all(lab.runs("done", job) for job in jobs))
    lab.eventually(lambda: not lab.redis.hlen("unacked") and not any(map(lab.redis.llen, pools)))

    assert {job: len(lab.runs("start", job)) for job in jobs} == dict.fromkeys(jobs, 1)
    for pool in pools:
        [(_, started)] = lab.runs("start", f"waiting-in-{pool}")
        assert started - begin >= 2.5 - 0.01


def test_the_private_parts_of_kombu_and_celery_that_we_use_are_as_we_know_them() -> None:
    """A failure means: read the new kombu and Celery, then mend what uses these parts in `celery_impl`."""
    redis: Any = kombu_redis
    pool: Any = asynpool.AsynPool
    assert list(inspect.signature(redis.Channel._put).parameters) == ["self", "queue", "message", "kwargs"]
    assert "publish_batch.add('lpush', key, dumps(message))" in inspect.getsource(redis.Channel._put)
    assert list(inspect.signature(redis.PublishBatch.add).parameters) == ["self", "name", "args"]
    assert list(inspect.signature(redis.Channel._q_for_pri).parameters) == ["self", "queue", "pri"]
    assert "self._expires[queue] = expire" in inspect.getsource(redis.Channel._new_queue)
    assert list(inspect.signature(redis.Channel._put_fanout).parameters)[:2] == ["self", "exchange"]
    assert list(inspect.signature(redis.Channel._create_client).parameters) == ["self", "asynchronous"]
    assert "self.client.parse_response(self.client.connection," in inspect.getsource(
        redis.Channel._brpop_read
    )
    assert "self._raw = payload" in inspect.getsource(virtual.Message.__init__)
    assert "all_total_count[0] += 1" in inspect.getsource(celery.worker.state.task_accepted).replace(
        "_all_", "all_"
    )
    assert Celery().conf.worker_consumer == CELERYS_CONSUMER
    handler = inspect.getsource(Consumer.create_task_handler)
    for name in ("on_unknown_message", "on_unknown_task", "on_invalid_task", "on_decode_error"):
        assert f"self.{name}" in handler, "or what no task can run is lost"
    assert list(inspect.signature(redis.QoS._remove_from_indices).parameters) == [
        "self",
        "delivery_tag",
        "pipe",
    ]
    restore = inspect.signature(redis.Channel._do_restore_message).parameters
    assert list(restore)[1:5] == ["payload", "exchange", "routing_key", "pipe"]
    assert "if self._in_poll:" in inspect.getsource(redis.Channel.close)
    assert "proc._sentinel_poll = None" in inspect.getsource(pool._untrack_child_process)
    assert "self._delivered = OrderedDict()" in inspect.getsource(virtual.QoS.__init__)
    assert "self.connection_class_ssl" in inspect.getsource(redis.Channel._connparams)
    assert callable(inspect.getattr_static(celery.worker.request.Request, "_context").__get__)
    assert "self._success_was_stored()" in inspect.getsource(celery.worker.request.Request.on_failure)
