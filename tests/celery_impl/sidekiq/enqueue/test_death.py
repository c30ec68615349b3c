"""How a job is given up by a real worker, and that nothing which no task can run is lost."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from celery_impl.sidekiq.api import DeadSet, RetrySet
from celery_impl.sidekiq.jobs.entry_format import MESSAGE_LIMIT


@pytest.fixture
def dying(lab: Any) -> Any:
    lab.app = "dying_app"
    return lab.sample(QUEUE_OR_TASK_FETCH="timeout")


@pytest.fixture
def dying_on_lease(lab: Any) -> Any:
    lab.app = "dying_app"
    return lab.sample(QUEUE_OR_TASK_FETCH="lease")


def test_an_error_means_what_its_task_and_then_its_app_say(lab: Any, dying: Any) -> None:
    lab.worker()
    dying.choosy.delay("connection")  # discarded by the task's rule, dead for nobody
    dying.choosy.delay("lookup")  # killed by the app's
    dying.choosy.delay("timeout")  # the task's 2,000 s and not the app's 100, scaled
    dying.plain.delay("timeout")  # the app's 100

    lab.eventually(lambda: lab.runs("death", "connection:ConnectionError:0"))
    lab.eventually(lambda: lab.runs("death", "lookup:KeyError:0"))
    first, second = lab.eventually(lambda: len(found := list(RetrySet(dying.app))) == 2 and found)

    [dead_job] = DeadSet(dying.app)
    assert (dead_job.task, dead_job.error_class) == ("dying_app.choosy", "KeyError")
    assert dead_job.error_message == repr("x" * 20_000)[:MESSAGE_LIMIT]
    assert (first.task, second.task) == ("dying_app.choosy", "dying_app.plain")
    assert 20 <= first.at - first.failed_at < 21
    assert 1 <= second.at - second.failed_at < 2


def test_a_job_out_of_retries_asks_its_task_and_tells_the_handlers_though_one_fails(
    lab: Any, dying: Any
) -> None:
    lab.worker()
    dying.twice.delay("discarded")
    sent = dying.twice.apply_async(("dead",), headers={"mine": "kept"}, priority=3, expires=3600)

    for job in ("discarded", "dead"):
        lab.eventually(lambda job=job: lab.runs("death", f"{job}:ValueError:1"))
        assert [len(lab.runs(event, job)) for event in ("start", "exhausted")] == [2, 1]

    [dead_job] = DeadSet(dying.app)
    message = json.loads(dead_job.message or "")
    assert (dead_job.id, dead_job.count, dead_job.queue_key) == (sent.id, 1, "celery\x06\x163")
    assert (dead_job.failed_at or 0) < (dead_job.retried_at or 0) <= (dead_job.at or 0)
    assert message["headers"]["mine"] == "kept"
    assert message["headers"]["expires"] is None, "or retrying it would drop it"


def test_a_dead_job_that_is_retried_runs_once_more_and_is_dead_again(lab: Any, dying: Any) -> None:
    lab.worker()
    dying.twice.delay("a")
    dead = DeadSet(dying.app)
    [dead_job] = lab.eventually(lambda: list(dead))

    assert dead.retry(dead_job) == 1

    [again] = lab.eventually(lambda: list(dead))
    assert len(lab.runs("start", "a")) == 3
    assert (again.id, again.count, again.failed_at) == (dead_job.id, 1, dead_job.failed_at)


def test_a_job_without_retries_is_told_to_the_handlers_and_buried_nowhere(lab: Any, dying: Any) -> None:
    lab.worker()
    dying.never.delay("a")
    lab.eventually(lambda: lab.runs("death", "a:ValueError:0"))
    assert (DeadSet(dying.app).size(), RetrySet(dying.app).size()) == (0, 0)


def test_a_retry_by_the_task_itself_tells_of_its_error_too(lab: Any, dying: Any) -> None:
    lab.worker()
    dying.retry_by_itself.delay("a")
    [job] = lab.eventually(lambda: list(RetrySet(dying.app)))
    assert (job.error_class, job.error_message, job.count, job.retried_at) == ("ValueError", "a", 1, None)


def test_a_job_with_an_unknown_task_waits_in_the_dead_set_until_its_task_is_deployed(
    lab: Any, dying: Any
) -> None:
    worker = lab.worker()
    dying.app.send_task("gone.away", args=("a",), task_id="j1")
    [dead_job] = lab.eventually(lambda: list(DeadSet(dying.app)))

    assert (dead_job.id, dead_job.task, dead_job.error_class) == ("j1", "gone.away", "NotRegistered")
    assert (dead_job.args, dead_job.kwargs) == (["a"], {})
    assert "deploy it, then retry" in dead_job.error_message
    assert json.loads(dead_job.message)["headers"]["task"] == "gone.away"
    lab.eventually(lambda: lab.redis.hlen("unacked") == 0)
    assert "Unrecoverable" not in worker.output


def envelope(body: str, **headers: Any) -> str:
    properties = {
        "delivery_tag": f"tag-{len(body)}-{len(headers)}",
        "delivery_info": {"exchange": "", "routing_key": "celery"},
        "body_encoding": "base64",
        "priority": 0,
    }
    encoded = base64.b64encode(body.encode()).decode()
    known = {"body": encoded, "headers": headers, "properties": properties}
    return json.dumps({**known, "content-type": "application/json", "content-encoding": "utf-8"})


BAD = {
    "no JSON": "garbage {",
    "too deep": "[" * 100_000,
    "not even text": b"\xff\xfe\x00",
    "another program's": '{"class": "HardWorker", "jid": "b4a577edbccf1d805744efa9"}',
    "no task": envelope("[[], {}, {}]", id="1"),
    "a body that is none": envelope("{no json", id="2", task="dying_app.done"),
    "arguments of a wrong shape": envelope("[1]", id="3", task="dying_app.done"),
    "arguments that are no list": envelope('["a", {}, {}]', id="4", task="dying_app.done"),
    "a body that is not base64": envelope("[[], {}, {}]", id="7", task="dying_app.done").replace(
        "W1tdLCB7", "W"
    ),
    "no id": envelope("[[], {}, {}]", task="dying_app.done"),
    "an unknown task without an id": envelope("[[], {}, {}]", task="gone.away"),
    "an ETA that is no time": envelope("[[], {}, {}]", id="5", task="dying_app.done", eta="soon"),
    "a type that nobody takes": envelope("[[], {}, {}]", id="6", task="dying_app.done").replace(
        "application/json", "application/x-python-serialize"
    ),
}


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
@pytest.mark.parametrize("transport", ["dying", "dying_on_lease"])
def test_what_is_no_job_goes_to_the_dead_set_with_its_reason_and_stops_no_worker(
    lab: Any, request: pytest.FixtureRequest, pool: str, transport: str
) -> None:
    dying = request.getfixturevalue(transport)
    worker = lab.worker("--pool", pool, "--concurrency", "2")
    for item in BAD.values():
        lab.redis.lpush("celery", item)
    dying.done.delay("after")

    lab.eventually(lambda: lab.runs("done", "after"))
    dead = lab.eventually(lambda: len(found := list(DeadSet(dying.app))) == len(BAD) and found)

    assert all(dead_job.error_message and dead_job.problem is None for dead_job in dead)
    assert not worker.ended
    lab.eventually(lambda: lab.redis.hlen("unacked") == 0)
    assert lab.redis.llen("celery") == 0
