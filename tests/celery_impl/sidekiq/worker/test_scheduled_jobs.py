"""What waits in the sets is seen by Celery's own commands, and keeps what Celery's own jobs have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kombu import Exchange, Queue

from celery_impl.sidekiq.api import RetrySet, ScheduledSet
from celery_impl.sidekiq.testing import fake


@pytest.fixture(params=["lease", "timeout"])
def follows(request: pytest.FixtureRequest, lab: Any) -> Any:
    lab.app = "follows_app"
    (lab.folder / "results").mkdir()
    return lab.sample(QUEUE_OR_TASK_FETCH=request.param, FOLLOWS_RESULTS=f"file://{lab.folder}/results")


def test_inspect_scheduled_shows_what_waits_in_the_sets(follows: Any, lab: Any) -> None:
    eta = datetime.now(UTC) + timedelta(hours=1)
    follows.first.apply_async(("a",), eta=eta, task_id="later")
    lab.redis.zadd("sidekiq:schedule", {"no entry": 1e12})
    worker = lab.worker()

    [shown] = follows.app.control.inspect(timeout=10).scheduled().values()

    [job] = shown
    assert datetime.fromisoformat(job["eta"]) == eta
    request = job["request"]
    assert (request["id"], request["name"], request["args"]) == ("later", "first", ["a"])
    assert request["delivery_info"]["routing_key"] == "celery"
    assert request["hostname"] in worker.output


def test_purge_empties_a_queue_with_what_waits_for_it(follows: Any, lab: Any) -> None:
    app = follows.app
    for queue in ("celery", "other"):
        follows.first.apply_async(("now",), queue=queue)
        follows.first.apply_async(("later",), queue=queue, countdown=3600)
        follows.first.apply_async(("again",), queue=queue, countdown=3600, retries=1)
    assert (len(ScheduledSet(app)), len(RetrySet(app))) == (2, 2)

    with app.connection() as connection:
        assert app.amqp.TaskConsumer(connection, queues=[app.amqp.queues["celery"]]).purge() == 3

    assert [(job.queue, job.args) for found in (ScheduledSet(app), RetrySet(app)) for job in found] == [
        ("other", ["later"]),
        ("other", ["again"]),
    ]
    assert (lab.redis.llen("celery"), lab.redis.llen("other")) == (0, 1)


def test_a_job_sees_its_eta_and_one_that_never_waited_has_none(follows: Any, lab: Any) -> None:
    lab.worker()
    eta = datetime.now(UTC) + timedelta(seconds=0.2)

    later = follows.sees_eta.apply_async(("a",), eta=eta)
    assert datetime.fromisoformat(later.get(timeout=30)) == eta
    assert follows.sees_eta.delay("b").get(timeout=30) is None


def test_a_job_sees_its_eta_in_tests_too(follows: Any) -> None:
    eta = datetime.now(UTC) + timedelta(hours=1)
    with fake(follows.app) as jobs:
        result = follows.sees_eta.apply_async(("a",), eta=eta)
        jobs.drain()
        assert datetime.fromisoformat(result.get()) == eta


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_an_eta_holds_in_each_queue_of_an_exchange(follows: Any, lab: Any, kind: str) -> None:
    app, exchange = follows.app, Exchange("both", type=kind)
    queues = [Queue(name, exchange, routing_key="key") for name in ("one", "two")]
    with app.connection() as connection:
        for queue in queues:
            queue(connection.default_channel).declare()

    follows.first.apply_async(("a",), countdown=3600, exchange=exchange, routing_key="key")

    assert {job.queue for job in ScheduledSet(app)} == {"one", "two"}
    assert [lab.redis.llen(queue.name) for queue in queues] == [0, 0]
