"""Which failed runs are seen, and where Celery's own words bound the retries of a job."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from celery import Celery, chord, signals
from celery.exceptions import Reject

from celery_impl.sidekiq import Schedule, Sidekiq
from celery_impl.sidekiq.api import DeadSet
from celery_impl.sidekiq.middleware import MiddlewareError
from celery_impl.sidekiq.testing import fake

NOWHERE = "redis://127.0.0.1:1/0"


def app_with(**options: Any) -> Celery[Any]:
    app: Celery[Any] = Celery(broker=NOWHERE, set_as_current=False)
    Sidekiq(app, schedule=Schedule(limit=2), **options)
    return app


def boom(*_: Any) -> None:
    raise ValueError("boom")


def runs_of(app: Celery[Any], body: Any = boom, name: str = "job", **options: Any) -> tuple[int, int]:
    """How often a job of such a task runs, and how many dead jobs there are then."""
    ran = []

    def counted(*args: Any) -> Any:
        ran.append(args)
        return body(*args)

    decorate: Any = app.task(name=name, shared=False, **options)
    task = decorate(counted)
    with fake(app) as jobs:
        task.delay()
        jobs.drain(retries=True)
        return len(ran), len(jobs.dead)


def retries(task: Any) -> None:
    raise task.retry(exc=ValueError("boom"), countdown=1)


@pytest.mark.parametrize(
    ("options", "body", "runs", "dead"),
    [
        ({}, boom, 3, 1),
        ({"max_retries": 0}, boom, 1, 1),
        ({"max_retries": 5}, boom, 6, 1),
        ({"max_retries": None}, boom, 3, 1),
        ({"max_retries": 1, "sidekiq_retry": 3}, boom, 4, 1),
        ({"max_retries": 1, "sidekiq_retry": True}, boom, 3, 1),
        ({"max_retries": 1, "sidekiq_schedule": Schedule(limit=4)}, boom, 5, 1),
        ({"sidekiq_retry": False, "max_retries": 3}, boom, 1, 0),
        ({"autoretry_for": (ValueError,), "max_retries": 2}, boom, 3, 1),
        ({"autoretry_for": (ValueError,), "retry_kwargs": {"max_retries": 1}}, boom, 2, 1),
        ({"autoretry_for": (ValueError,), "retry_backoff": True}, boom, 4, 1),
        ({"autoretry_for": (KeyError,)}, boom, 1, 1),
        ({"autoretry_for": (Exception,), "dont_autoretry_for": (ValueError,)}, boom, 1, 1),
        ({"autoretry_for": (KeyError,), "sidekiq_retry_in": {ValueError: 1}}, boom, 3, 1),
        ({"throws": (ValueError,)}, boom, 1, 0),
        ({"throws": (KeyError,)}, boom, 3, 1),
        ({"bind": True}, retries, 4, 1),
        ({"bind": True, "max_retries": 1}, retries, 2, 1),
    ],
)
def test_celerys_words_bound_the_runs_and_what_is_given_up_is_in_the_dead_set(
    options: dict[str, Any], body: Any, runs: int, dead: int
) -> None:
    assert runs_of(app_with(), body, **options) == (runs, dead)


def test_a_retry_by_the_schedule_leaves_no_bound_for_the_next_run_of_the_task() -> None:
    """Celery keeps the `max_retries` that `retry` was given, and `autoretry_for` goes by it."""
    app, ran = app_with(), []

    @app.task(name="job", shared=False, autoretry_for=(KeyError,), sidekiq_retry_in={ValueError: 1})
    def job(error: str) -> None:
        ran.append(error)
        raise {"key": KeyError, "value": ValueError}[error](error)

    with fake(app) as jobs:
        for error in ("value", "key"):
            job.delay(error)
            jobs.drain(retries=True)
    assert (ran.count("value"), ran.count("key")) == (3, 4)


def test_a_retry_whose_new_arguments_are_not_strict_fails_the_job_and_drops_it_nowhere() -> None:
    def with_tuple(task: Any) -> None:
        raise task.retry(args=((1, 2),), countdown=1)

    app = app_with()
    ran = []

    @app.task(name="again", bind=True, shared=False)
    def again(self: Any, *args: Any) -> None:
        ran.append(args)
        with_tuple(self)

    with fake(app) as jobs:
        again.delay()
        jobs.drain(retries=True)
        assert [dead.error_class for dead in jobs.dead] == ["ArgumentsError"]
    assert len(ran) == 1


@pytest.mark.parametrize(("report", "seen"), [("each", 3), ("last", 1)])
def test_task_failure_is_sent_for_each_failed_run_or_for_the_last(report: Any, seen: int) -> None:
    heard: list[tuple[str, str, bool]] = []

    def hear(sender: Any, exception: Any, traceback: Any, einfo: Any, **_: Any) -> None:
        heard.append((sender.name, str(exception), "boom" in str(einfo) and traceback is not None))

    signals.task_failure.connect(hear)
    try:
        assert runs_of(app_with(report_failures=report)) == (3, 1)
    finally:
        signals.task_failure.disconnect(hear)
    assert heard == [("job", "boom", True)] * seen


def test_error_handlers_see_each_failed_run_and_one_that_fails_stops_nothing() -> None:
    seen: list[tuple[str, int]] = []

    def fails(_error: BaseException, _job: Any) -> None:
        raise RuntimeError("a handler's own")

    app = app_with(error_handlers=[fails, lambda error, job: seen.append((str(error), job.retries))])
    assert runs_of(app) == (3, 1)
    assert seen == [("boom", 0), ("boom", 1), ("boom", 2)]


def test_a_retry_that_the_task_asks_for_is_no_failure_and_neither_is_reject() -> None:
    seen: list[str] = []
    app = app_with(error_handlers=[lambda error, _job: seen.append(type(error).__name__)])
    assert runs_of(app, retries, bind=True, max_retries=1) == (2, 1)
    assert seen == ["ValueError"], "the last run, when no retry was left"

    def rejects() -> None:
        raise Reject("no", requeue=False)

    assert runs_of(app, rejects, name="rejects") == (1, 0)
    assert seen == ["ValueError"]


def test_a_setting_that_is_none_is_refused() -> None:
    with pytest.raises(MiddlewareError, match="report_failures is 'all': expected 'each' or 'last'"):
        app_with(report_failures="all")


def test_a_wrapper_of_the_tasks_call_sees_the_error_and_not_the_retry() -> None:
    """As Sentry's, which wraps `__call__` of the class of each task when a worker makes its tracer."""
    app, seen = app_with(), []

    @app.task(name="job", bind=True, shared=False)
    def job(self: Any) -> None:
        seen.append(self.request.id)
        raise ValueError("boom")

    around: Any = type(app.tasks["job"]).__call__

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return around(*args, **kwargs)
        except Exception as error:
            seen.append(type(error).__name__)
            raise

    type(app.tasks["job"]).__call__ = wrapper  # type: ignore[method-assign]
    with fake(app) as jobs:
        job.apply_async(task_id="x")
        jobs.drain(retries=True)
    assert seen == ["x", "ValueError"] * 3


@pytest.fixture
def follows(lab: Any) -> Any:
    """The app with results in files: whoever asked for one keeps no connection."""
    lab.app = "follows_app"
    (lab.folder / "results").mkdir()
    return lab.sample(FOLLOWS_RESULTS=f"file://{lab.folder}/results")


def test_in_a_worker_results_and_chords_of_what_is_given_up_end(follows: Any, lab: Any) -> None:
    lab.worker("--concurrency", "2")
    ends = {name: getattr(follows, name).delay(name) for name in ("fails", "limited", "auto", "expected")}
    ends["retries_itself"] = follows.retries_itself.delay("retries_itself")
    called = chord([follows.first.s("a"), follows.limited.s("part")])(follows.then.s("called"))
    follows.rejects.delay("rejects")
    follows.ignores.delay("ignores")

    for name, result in ends.items():
        with pytest.raises((ValueError, LookupError), match=name):
            result.get(timeout=30)
    with pytest.raises(Exception, match="part"):
        called.get(timeout=30)

    runs = {"fails": 3, "limited": 2, "auto": 2, "expected": 1, "retries_itself": 2, "part": 2}
    assert {name: len(lab.runs("start", name)) for name in runs} == runs
    lab.eventually(lambda: lab.runs("start", "rejects") and lab.runs("start", "ignores"))
    buried = lab.eventually(lambda: len(dead := list(DeadSet(follows.app))) == 5 and dead)
    assert {job.args[0] for job in buried} == runs.keys() - {"expected"}
    assert [len(lab.runs("error", f"{name}:ValueError")) for name in ("fails", "limited")] == [3, 2]
    assert len(lab.runs("start", "rejects")) == len(lab.runs("start", "ignores")) == 1


def test_a_job_whose_retry_cannot_be_written_pauses_before_it_runs_again(follows: Any, lab: Any) -> None:
    """A broker whose memory is full gives jobs and takes none."""
    worker = lab.worker("--concurrency", "1")
    follows.fails.delay("a")
    lab.redis.config_set("maxmemory", 1)
    try:
        follows_runs = lab.eventually(lambda: len(runs := lab.runs("start", "a")) >= 3 and runs)
    finally:
        lab.redis.config_set("maxmemory", 0)

    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(follows_runs)]
    assert all(gap >= 0.4 for gap in gaps), worker.output
    lab.eventually(lambda: list(DeadSet(follows.app)))


def test_a_job_over_its_time_that_celery_gives_back_is_buried_at_its_third_time(
    follows: Any, lab: Any
) -> None:
    lab.worker("--concurrency", "1")
    follows.over.delay("a")

    lab.eventually(lambda: len(lab.runs("start", "a")) >= 2)
    assert list(DeadSet(follows.app)) == []
    [dead] = lab.eventually(lambda: list(DeadSet(follows.app)))

    assert dead.error_class == "TimeLimitExceeded"
    follows.first.delay("after")
    lab.eventually(lambda: lab.runs("done", "after"))
    assert len(lab.runs("start", "a")) == 3
    assert len(list(DeadSet(follows.app))) == 1
