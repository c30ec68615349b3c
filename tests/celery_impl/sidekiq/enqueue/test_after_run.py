"""What follows a job, a chain's next step, a link, a chord's callback, outlives a broker that is away."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import celery
import pytest
import redis
from celery import chain
from kombu.exceptions import OperationalError

from bench.world.broker import Broker
from celery_impl.sidekiq.api import DeadSet, RetrySet

FOLLOWERS = ("second", "linked", "called")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, _broker_at_hand: None) -> Iterator[Broker]:
    """Another Redis, which stays."""
    with Broker.start(tmp_path_factory.mktemp("results"), env={"PATH": os.environ["PATH"]}) as started:
        yield started


@pytest.fixture(params=["lease", pytest.param("timeout", marks=pytest.mark.slow)])
def follows(request: pytest.FixtureRequest, lab: Any, results: Broker) -> Any:
    """The app; its workers, not this process, have results in another Redis than the broker."""
    lab.app = "follows_app"
    made = lab.sample(QUEUE_OR_TASK_FETCH=request.param)
    lab.env["FOLLOWS_RESULTS"] = results.url
    return made


def begin(follows: Any, lab: Any) -> None:
    """Start a chain, a job with a link and a chord, whose first jobs wait for the gate."""
    follows.begin.delay()
    lab.eventually(lambda: all(lab.runs("start", job) for job in "abcd"))


def end_first_jobs(lab: Any) -> None:
    (lab.folder / "go-gate").touch()
    lab.eventually(lambda: all(lab.runs("done", job) for job in "abcd"))


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_follows_a_job_is_sent_when_the_broker_is_back(follows: Any, lab: Any, pool: str) -> None:
    worker = lab.worker("--pool", pool, "--concurrency", "4")
    begin(follows, lab)

    lab.broker.kill()
    end_first_jobs(lab)
    lab.eventually(lambda: worker.output.count("waits for the broker") >= 2)
    lab.broker.restart()

    lab.eventually(lambda: all(lab.runs("start", job) for job in FOLLOWERS))
    assert list(DeadSet(follows.app)) == []
    if pool == "prefork":
        assert [len(lab.runs("start", job)) for job in "abcd"] == [1, 1, 1, 1]


def test_a_silent_broker_gets_what_follows_a_job_once(follows: Any, lab: Any) -> None:
    lab.worker("--concurrency", "4")
    begin(follows, lab)

    lab.broker.pause()
    end_first_jobs(lab)
    for _ in range(2):  # it is silent for longer than a caller waits
        with pytest.raises(OperationalError):
            follows.first.delay("from_a_caller")
    lab.broker.resume()

    lab.eventually(lambda: all(lab.runs("start", job) for job in FOLLOWERS))
    follows.first.delay("after")
    lab.eventually(lambda: lab.runs("done", "after"))
    assert [len(lab.runs("start", job)) for job in FOLLOWERS] == [1, 1, 1]


@pytest.mark.skipif(celery.VERSION < (5, 6), reason="such a job stays held until the worker ends")
def test_a_job_whose_next_step_is_not_taken_in_time_comes_again_and_goes_on(follows: Any, lab: Any) -> None:
    lab.env["FOLLOWS_PATIENCE_S"] = "0.3"
    worker = lab.worker("--concurrency", "4")
    begin(follows, lab)

    lab.broker.kill()
    end_first_jobs(lab)
    lab.eventually(lambda: worker.output.count("goes back to its queue") == 4)
    lab.broker.restart()

    lab.eventually(lambda: all(lab.runs("start", job) for job in FOLLOWERS))
    assert [len(lab.runs("start", job)) for job in "abcd"] == [2, 2, 2, 2]
    assert list(DeadSet(follows.app)) == []


def test_a_step_whose_result_the_next_one_refuses_is_in_the_dead_set(
    follows: Any, lab: Any, results: Broker
) -> None:
    lab.worker()
    gives = uuid4().hex  # of the test alone: a stored success is never written over
    chain(follows.gives_tuple.s("a").set(task_id=gives), follows.then.s("second")).apply_async()

    [dead] = lab.eventually(lambda: list(DeadSet(follows.app)))

    assert (dead.task, dead.args, dead.error_class) == ("gives_tuple", ["a"], "ArgumentsError")
    assert "then: args[0]['pair'] is of type tuple" in str(dead.error_message)
    with redis.Redis.from_url(results.url) as client:
        stored = lab.eventually(lambda: client.get(f"celery-task-meta-{gives}"))
    assert json.loads(stored)["status"] == "FAILURE"
    assert len(list(RetrySet(follows.app))) == 0
    assert not lab.runs("start", "second")
    assert len(lab.runs("start", "a")) == 1
    assert DeadSet(follows.app).retry(dead) == 1, "a person can run it again, with what follows it"
    lab.eventually(lambda: len(lab.runs("start", "a")) == 2)
    lab.eventually(lambda: list(DeadSet(follows.app)))


def test_a_chord_whose_results_are_lost_has_its_callback_in_the_dead_set(
    follows: Any, lab: Any, results: Broker
) -> None:
    lab.worker("--concurrency", "4")
    begin(follows, lab)
    with redis.Redis.from_url(results.url) as client:
        client.flushall()
    end_first_jobs(lab)

    [dead] = lab.eventually(lambda: list(DeadSet(follows.app)))

    assert (dead.task, dead.args, dead.error_class) == ("then", ["called"], "ChordError")
    assert "send the chord again" in str(dead.error_message)
    lab.eventually(lambda: lab.runs("start", "second") and lab.runs("start", "linked"))
    assert not lab.runs("start", "called")


def test_a_chord_that_went_well_or_failed_is_not_lost(follows: Any, lab: Any) -> None:
    lab.worker("--concurrency", "4")
    begin(follows, lab)
    follows.begin_failing.delay()
    end_first_jobs(lab)

    lab.eventually(lambda: lab.runs("start", "called"))
    lab.eventually(lambda: len(lab.runs("start", "part")) == 2)
    [dead] = lab.eventually(lambda: list(DeadSet(follows.app)))
    assert dead.args == ["part"]
    lab.eventually(lambda: not lab.redis.zcard("sidekiq:chords"))
    assert len(list(DeadSet(follows.app))) == 1
