"""The test modes, on an app whose broker and result backend are not there: nothing may ask them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signals
from celery.exceptions import NotRegistered

from celery_impl.sidekiq import KILL, ArgumentsError, DeadJob, Schedule, Sidekiq
from celery_impl.sidekiq.testing import EndlessError, Jobs, NotTestingError, drain, fake, inline

NOWHERE = "redis://127.0.0.1:1/0"


class Sample:
    """An app, its tasks, and what they did."""

    def __init__(self, broker: str = NOWHERE) -> None:
        self.done: list[Any] = []
        self.deaths: list[tuple[str, str]] = []
        app = Celery(broker=broker, backend=NOWHERE, set_as_current=False)
        app.conf.task_routes = {"routed": {"queue": "mail"}}
        app.conf.broker_transport_options = {"max_retries": 0, "socket_connect_timeout": 0.1}
        Sidekiq(app, schedule=Schedule(limit=2), death_handlers=[self._died])
        self.app = app

        @app.task(name="note", shared=False)
        def note(*args: Any, **kwargs: Any) -> Any:
            self.done.append([*args, *kwargs.items()])
            return args[0] if args else None

        @app.task(name="fail", shared=False)
        def fail(job: str) -> None:
            self.done.append(job)
            raise ValueError(job)

        @app.task(name="sends", shared=False)
        def sends(job: str) -> None:
            note.delay(job)
            note.apply_async((f"{job} later",), countdown=60)

        @app.task(name="endless", shared=False)
        def endless() -> None:
            endless.delay()

        @app.task(name="routed", shared=False, bind=True)
        def routed(task: Any) -> None:
            request = task.request
            self.done.append(
                (request.is_eager, request.called_directly, request.delivery_info["routing_key"])
            )

        @app.task(name="polls", shared=False, bind=True)
        def polls(task: Any) -> str:
            if task.request.retries == 0:
                raise task.retry(countdown=5)
            return "ready"

        @app.task(name="killed", shared=False, sidekiq_retry_in={KeyError: KILL})
        def killed() -> None:
            raise KeyError("no")

        @app.task(name="add", shared=False)
        def add(numbers: list[int]) -> int:
            return sum(numbers)

        self.note, self.fail, self.sends, self.endless = note, fail, sends, endless
        self.routed, self.polls, self.killed, self.add = routed, polls, killed, add

    def _died(self, dead_job: DeadJob, error: BaseException) -> None:
        self.deaths.append((dead_job.task, type(error).__name__))


@pytest.fixture
def sample() -> Sample:
    return Sample()


@pytest.fixture
def jobs(sample: Sample) -> Iterator[Jobs]:
    with fake(sample.app) as kept:
        yield kept


def test_what_is_sent_is_kept_and_not_run(sample: Sample, jobs: Jobs) -> None:
    sent = sample.note.delay("a", {"b": [1]}, key=2)
    sample.app.send_task("elsewhere", ("b",), queue="other")
    first, second = jobs.enqueued
    assert (first.id, first.task, first.args, first.kwargs) == (
        sent.id,
        "note",
        ["a", {"b": [1]}],
        {"key": 2},
    )
    assert (second.task, second.queue, second.count, len(jobs)) == ("elsewhere", "other", 0, 2)
    assert (jobs.of(sample.note), jobs.of("elsewhere")) == ([first], [second])
    assert sample.done == []


def test_draining_runs_all_in_order_and_what_they_send(sample: Sample, jobs: Jobs) -> None:
    for job in "ab":
        sample.sends.delay(job)
    assert jobs.drain() == 6
    assert sample.done == [["a"], ["b"], ["a later"], ["b later"]]
    assert (len(jobs), jobs.drain()) == (0, 0)


def test_scheduled_jobs_are_seen_with_when_they_are_due_and_run_in_that_order(
    sample: Sample, jobs: Jobs
) -> None:
    sample.note.apply_async(("late",), countdown=3600)
    sample.note.apply_async(("soon",), countdown=60)
    assert [round((job.at or 0) - time.time(), -1) for job in jobs.scheduled] == [3600, 60]
    assert drain(sample.app) == 2
    assert sample.done == [["soon"], ["late"]]


def test_a_job_that_fails_raises_and_its_retry_waits_with_the_error(sample: Sample, jobs: Jobs) -> None:
    sent = sample.fail.delay("a")
    sample.note.delay("b")
    before = time.time()
    with pytest.raises(ValueError, match=r"^a$") as caught:
        jobs.drain()
    after = time.time()
    [retry] = jobs.retries
    assert any(entry.name == "fail" for entry in caught.traceback), "the traceback shows where"
    assert (retry.id, retry.count, retry.error_class, retry.error_message) == (sent.id, 1, "ValueError", "a")
    assert before + 15 <= (retry.at or 0) < after + 26
    assert [job.args for job in jobs.enqueued] == [["b"]]
    assert jobs.drain() == 1, "retries wait until asked for"


def test_draining_with_retries_runs_each_job_until_it_is_dead(sample: Sample, jobs: Jobs) -> None:
    sample.fail.delay("a")
    assert jobs.drain(retries=True) == 3
    [dead_job] = jobs.dead
    assert (dead_job.task, dead_job.retries, dead_job.error_class, len(jobs)) == ("fail", 2, "ValueError", 0)
    assert sample.deaths == [("fail", "ValueError")]


def test_a_killed_job_is_dead_at_once(sample: Sample, jobs: Jobs) -> None:
    sample.killed.delay()
    with pytest.raises(KeyError):
        jobs.drain()
    assert ([dead_job.task for dead_job in jobs.dead], len(jobs)) == (["killed"], 0)


def test_a_task_that_asks_to_run_again_raises_nothing(sample: Sample, jobs: Jobs) -> None:
    result = sample.polls.delay()
    assert jobs.drain() == 1
    assert [job.task for job in jobs.retries] == ["polls"]
    assert jobs.drain(retries=True) == 1
    assert result.get(timeout=1) == "ready"


def test_arguments_are_strict_and_go_through_json(sample: Sample, jobs: Jobs) -> None:
    with pytest.raises(ArgumentsError, match=r"args\[0\]"):
        sample.note.delay((1, 2))
    value = ["kept"]
    sample.note.delay(value)
    value.append("changed after it was sent")
    jobs.drain()
    assert sample.done == [[["kept"]]]
    with inline(sample.app), pytest.raises(ArgumentsError):
        sample.note.delay({1})


def test_a_job_runs_as_in_a_worker_and_in_the_queue_of_its_route(sample: Sample, jobs: Jobs) -> None:
    sample.routed.delay()
    assert [job.queue for job in jobs] == ["mail"]
    jobs.drain()
    assert sample.done == [(False, False, "mail")]


def test_results_and_canvas_work_in_memory(sample: Sample, jobs: Jobs) -> None:
    one = chain(sample.note.s("a"), sample.note.s("b")).apply_async()
    many = group(sample.note.s(n) for n in range(3)).apply_async()
    total = chord([sample.note.s(n) for n in (1, 2, 3)], sample.add.s()).apply_async()
    jobs.drain()
    assert (one.get(timeout=1), many.get(timeout=1), total.get(timeout=1)) == ("a", [0, 1, 2], 6)
    assert ["a", "b"] in sample.done


def test_jobs_that_send_each_other_for_ever_are_stopped(sample: Sample, jobs: Jobs) -> None:
    sample.endless.delay()
    with pytest.raises(EndlessError, match=r"^20 jobs ran"):
        jobs.drain(at_most=20)
    sample.note.delay("a")
    jobs.clear()
    sample.note.delay("b")
    assert jobs.drain(at_most=1) == 1


def test_one_job_is_run_and_no_other(sample: Sample, jobs: Jobs) -> None:
    for job in "ab":
        sample.note.apply_async((job,), countdown=5)
    [_, second] = jobs
    jobs.run(second)
    assert sample.done == [["b"]]
    with pytest.raises(ValueError, match="does not wait here"):
        jobs.run(second)


def test_a_job_of_a_task_that_the_app_has_not_stays(sample: Sample, jobs: Jobs) -> None:
    sample.app.send_task("elsewhere")
    with pytest.raises(NotRegistered):
        jobs.drain()
    assert len(jobs) == 1


def test_signals_of_publishing_and_running_are_sent(sample: Sample, jobs: Jobs) -> None:
    heard: list[str] = []

    def hear(signal: Any = None, **_: Any) -> None:
        heard.append(signal.name)

    all_of_them = (signals.before_task_publish, signals.after_task_publish, signals.task_prerun)
    for signal in all_of_them:
        signal.connect(hear)
    try:
        sample.note.delay("a")
        jobs.drain()
    finally:
        for signal in all_of_them:
            signal.disconnect(hear)
    assert heard == ["before_task_publish", "after_task_publish", "task_prerun"]


def test_inline_runs_each_job_where_it_is_sent_with_all_that_it_sends(sample: Sample) -> None:
    with inline(sample.app) as jobs:
        sample.sends.delay("a")
        assert sample.done == [["a"], ["a later"]]
        assert sample.note.delay("b").get(timeout=1) == "b"
        assert len(jobs) == 0


def test_inline_raises_the_error_and_keeps_the_retry(sample: Sample) -> None:
    with inline(sample.app) as jobs:
        with pytest.raises(ValueError, match=r"^a$"):
            sample.fail.delay("a")
        assert [job.count for job in jobs.retries] == [1]
        assert drain(sample.app, retries=True) == 2
        assert [dead_job.task for dead_job in jobs.dead] == ["fail"]


def test_a_mode_may_stand_within_another_and_ends_with_its_block(sample: Sample) -> None:
    before = (sample.app.amqp, sample.app.backend)
    with fake(sample.app) as outer:
        with inline(sample.app):
            sample.note.delay("a")
        sample.note.delay("b")
        assert (sample.done, len(outer)) == ([["a"]], 1)
    assert (sample.app.amqp, sample.app.backend) == before
    with pytest.raises(NotTestingError, match=r"with fake\(app\)"):
        drain(sample.app)


def test_a_mode_may_be_a_decorator_and_ends_with_an_error_too(sample: Sample) -> None:
    @fake(sample.app)
    def decorated() -> None:
        sample.note.delay("a")
        drain(sample.app)
        raise LookupError("of the test")

    for _ in range(2):
        with pytest.raises(LookupError):
            decorated()
    assert sample.done == [["a"], ["a"]]


def test_after_the_block_jobs_go_to_the_broker_again(lab: Any) -> None:
    sample = Sample(lab.broker.url)
    sample.app.conf.task_ignore_result = True
    with fake(sample.app):
        sample.note.delay("a")
    assert lab.redis.llen("celery") == 0
    sample.note.delay("b")
    assert lab.redis.llen("celery") == 1


def test_an_app_without_sidekiq_can_be_tested_too() -> None:
    app = Celery(broker=NOWHERE, set_as_current=False)
    done = []

    @app.task(name="plain", shared=False)
    def plain(job: str) -> None:
        done.append(job)

    with fake(app) as jobs:
        plain.apply_async(("a",), countdown=5)
        assert (len(jobs.scheduled), jobs.drain()) == (1, 1)
    assert done == ["a"]
