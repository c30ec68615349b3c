from __future__ import annotations

import json
from typing import Any

import pytest

from celery_impl.sidekiq.jobs.entry_format import split
from celery_impl.sidekiq.redis.sets import RETRY


def test_a_job_that_always_raises_is_retried_then_found_in_the_dead_set(lab: Any) -> None:
    sample = lab.sample(SIDEKIQ_RETRY_LIMIT="2")
    lab.worker()
    sample.fail.delay("a")

    [dead_job] = lab.eventually(lab.sets.dead_jobs)

    assert len(lab.runs("start", "a")) == 3
    assert (dead_job.task, dead_job.args, dead_job.retries) == ("sample_app.fail", ["a"], 2)
    assert (dead_job.error_class, dead_job.error_message) == ("ValueError", "a")
    lab.eventually(lambda: lab.redis.hlen("unacked") == 0)


def test_a_retry_waits_as_long_as_the_schedule_says(lab: Any) -> None:
    sample = lab.sample(SIDEKIQ_RETRY_SCALE="1")
    lab.worker()
    before = float(lab.redis.time()[0])
    sample.fail.delay("a")

    [(text, due)] = lab.eventually(lambda: lab.redis.zrange(RETRY, 0, -1, withscores=True))

    assert 15 <= due - before <= 15 + 10 + 5
    assert json.loads(split(text)[1])["headers"]["retries"] == 1


def test_a_job_without_retries_fails_once_and_is_buried_nowhere(lab: Any) -> None:
    sample = lab.sample()
    worker = lab.worker()
    sample.fail_once_and_for_all.delay("a")

    lab.eventually(lambda: "ValueError: a" in worker.output or "ValueError('a')" in worker.output)
    sample.note.delay("b")
    lab.eventually(lambda: lab.runs("done", "b"))

    assert len(lab.runs("start", "a")) == 1
    assert lab.sets.dead_jobs() == []


def test_a_job_over_the_hard_time_limit_goes_to_the_dead_set(lab: Any) -> None:
    sample = lab.sample()
    lab.worker()
    sample.hang.delay("a")

    [dead_job] = lab.eventually(lab.sets.dead_jobs)

    assert (dead_job.error_class, dead_job.args) == ("TimeLimitExceeded", ["a"])
    lab.eventually(lambda: lab.redis.hlen("unacked") == 0)


def test_a_job_that_killed_three_processes_goes_to_the_dead_set(lab: Any) -> None:
    sample = lab.sample()
    lab.worker()
    lab.sets.count_death("poison")
    sample.kill_own_process.apply_async(("a",), task_id="poison")

    [dead_job] = lab.eventually(lab.sets.dead_jobs)
    sample.note.delay("b")
    lab.eventually(lambda: lab.runs("done", "b"))

    assert (dead_job.error_class, dead_job.args) == ("WorkerLostError", ["a"])
    assert len(lab.runs("start", "a")) == 2, "the first of its three deaths was counted before"
    lab.eventually(lambda: lab.redis.hlen("unacked") == 0)


def test_called_directly_a_task_is_a_plain_function(lab: Any) -> None:
    with pytest.raises(ValueError, match="a"):
        lab.sample().fail("a")
