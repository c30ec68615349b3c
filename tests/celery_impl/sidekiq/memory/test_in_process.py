"""An app with `Sidekiq(app)` that runs in this process: its sets, locks and limits are in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, chord
from celery.contrib.testing.worker import start_worker

from celery_impl.sidekiq import DISCARD, Duplicate, Limiter, Schedule, Sidekiq, SidekiqError
from celery_impl.sidekiq.api import DeadSet, NoSidekiqError, Queue, RetrySet, ScheduledSet, Stats, Workers
from celery_impl.sidekiq.middleware import RateLimit, Retry
from celery_impl.sidekiq.redis.sets import DEAD_LIMIT
from inprocess.celery import run_in_process

PATIENCE_S = 30.0
_numbers = itertools.count(1)
#: Nobody listens there.
URLS = ("lease+redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//", "memory://")


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


class Sample:
    """An app with tasks that succeed, fail and wait."""

    def __init__(self, url: str, **options: Any) -> None:
        self.app: Any = Celery(f"memory{next(_numbers)}", broker=url, set_as_current=False)
        self.app.conf.update(task_acks_late=True, broker_transport_options={"max_retries": 0})
        self.sidekiq = Sidekiq(self.app, **options)
        self.runs: list[Any] = []

        @self.app.task(name="note", shared=False)
        def note(what: Any) -> Any:
            self.runs.append(what)
            return what

        @self.app.task(name="fail", shared=False)
        def fail(what: Any) -> None:
            self.runs.append(what)
            raise ValueError(what)

        self.note, self.fail = note, fail


@pytest.fixture(params=URLS)
def running(request: Any) -> Iterator[Sample]:
    """A sample of each broker, which runs in this process and not there."""
    sample = Sample(request.param, schedule=Schedule(limit=1, scale=0.01))
    with run_in_process(sample.app, grace_s=0.2):
        yield sample


def test_jobs_run_wait_are_retried_and_die_as_on_redis(running: Sample) -> None:
    assert running.note.delay("now").get(timeout=PATIENCE_S) == "now"
    running.note.apply_async(("soon",), countdown=0.2)
    [job] = ScheduledSet(running.app)
    assert (job.task, job.args) == ("note", ["soon"])
    running.fail.delay("twice")

    [dead] = eventually(lambda: list(DeadSet(running.app)))

    assert (dead.task, dead.args, dead.count, dead.error_class) == ("fail", ["twice"], 1, "ValueError")
    eventually(lambda: "soon" in running.runs)
    assert running.runs.count("twice") == 2
    assert ScheduledSet(running.app).size() == RetrySet(running.app).size() == 0
    assert chord([running.note.s(1), running.note.s(2)], running.note.s()).delay().get(
        timeout=PATIENCE_S
    ) in ([1, 2], [2, 1])


def test_a_person_acts_on_the_sets() -> None:
    sample = Sample(URLS[0])
    with run_in_process(sample.app, grace_s=0.2):
        for name in ("retried", "deleted", "killed"):
            sample.note.apply_async((name,), countdown=3600)
        scheduled, dead = ScheduledSet(sample.app), DeadSet(sample.app)
        jobs = {job.args[0]: job for job in scheduled if job.args}
        found = scheduled.find(jobs["retried"].id)
        assert found == jobs["retried"]
        assert scheduled.find("nowhere") is None
        assert scheduled.latency() == 0.0

        assert [scheduled.retry(found), scheduled.retry(found)] == [1, 0]
        assert [scheduled.delete(jobs["deleted"]), scheduled.delete(jobs["deleted"])] == [1, 0]
        assert [scheduled.kill(jobs["killed"]), scheduled.kill(jobs["killed"])] == [1, 0]
        eventually(lambda: sample.runs == ["retried"])
        assert [(job.args, job.error_class) for job in dead] == [(["killed"], "Killed")]
        assert (dead.retry_all(), dead.clear(), scheduled.size()) == (1, 0, 0)
        eventually(lambda: sample.runs == ["retried", "killed"])


def test_a_list_of_jobs_shows_jobs_and_not_messages() -> None:
    sample = Sample(URLS[0], schedule=Schedule(limit=1, scale=0.01))
    with run_in_process(sample.app, grace_s=0.2):
        job = sample.fail.delay("x" * 1000)
        [dead] = eventually(lambda: list(DeadSet(sample.app)))
        shown = repr([dead])
        assert shown.startswith("[<Job fail('xxx")
        assert f"[{job.id}] of queue celery, 1 retry, ValueError: xxx" in shown
        assert "content-type" not in shown
        assert len(shown) < 400


def test_what_waits_when_the_run_ends_is_named_and_what_is_due_within_the_grace_runs() -> None:
    sample = Sample(URLS[0])
    with run_in_process(sample.app, grace_s=5.0) as run:
        sample.note.apply_async(("soon",), countdown=0.3)
        late = sample.note.apply_async(("late",), countdown=3600)
    assert sample.runs == ["soon"]
    assert run.report is not None
    [lost] = run.report.cut_off
    assert lost.description == f"note[{late.id}]: note args=('late',)"


def test_unique_jobs_and_limits_count_in_memory() -> None:
    sample = Sample(URLS[0])
    two = Limiter.window(sample.app, "two", "2/h")

    @sample.app.task(name="once", shared=False, sidekiq_unique="until_done", sidekiq_limits=[two])  # type: ignore[untyped-decorator] # of Any
    def once(what: str) -> None:
        sample.runs.append(what)

    with run_in_process(sample.app, grace_s=0.2):
        first = once.apply_async(("x",), countdown=3600)
        again = once.delay("x")
        assert isinstance(again, Duplicate)
        assert again.id == first.id
        assert ScheduledSet(sample.app).clear() == 1
        for name in ("x", "y", "z"):
            once.delay(name)
        eventually(lambda: len(sample.runs) == 2 and ScheduledSet(sample.app).size() == 1)
        assert not isinstance(once.delay("x"), Duplicate), "its place is free when it is done"


def test_a_message_that_no_task_can_run_is_in_the_dead_set_and_a_rule_may_discard() -> None:
    sample = Sample(URLS[0], errors={ValueError: DISCARD})
    with run_in_process(sample.app, grace_s=0.2):
        sample.app.send_task("unheard.of", (1,))
        sample.fail.delay("discarded")
        [dead] = eventually(lambda: list(DeadSet(sample.app)))
        assert (dead.task, dead.args, dead.error_class) == ("unheard.of", [1], "NotRegistered")
        eventually(lambda: sample.runs == ["discarded"])
        assert RetrySet(sample.app).size() == 0


def test_arguments_by_reference_wait_where_celery_has_them_wait() -> None:
    sample = Sample(URLS[0], strict_arguments=False)
    what = object()
    with run_in_process(sample.app, grace_s=5.0, strict=False):
        sample.note.apply_async((what,), countdown=0.1)
    assert sample.runs == [what]


def test_what_only_redis_has_is_refused_in_one_line() -> None:
    sample = Sample(URLS[0])
    with run_in_process(sample.app, grace_s=0.2):
        for asked in (
            lambda: Queue(sample.app, "celery"),
            lambda: Workers(sample.app),
            lambda: Stats.of(sample.app),
        ):
            with pytest.raises(NoSidekiqError, match="needs Redis, and this app's broker is in memory"):
                asked()


@pytest.mark.parametrize("url", ["memory://", "inprocess://"])
def test_an_app_is_imported_under_a_broker_in_memory_with_the_same_chains(url: str) -> None:
    sample = Sample(url)
    other = Sample(URLS[0])
    assert repr(sample.sidekiq.server_middleware) == repr(other.sidekiq.server_middleware)
    assert repr(sample.sidekiq.client_middleware) == repr(other.sidekiq.client_middleware)
    sample.sidekiq.server_middleware.remove(RateLimit)
    assert Retry in sample.sidekiq.server_middleware


def test_with_a_worker_on_a_broker_in_memory_the_sets_are_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample("memory://", schedule=Schedule(limit=1, scale=0.01))
    # Else the root logger stays at level error, and later tests in this process see no warning.
    monkeypatch.setattr(sample.app.log, "setup", lambda **_: None)
    with start_worker(sample.app, perform_ping_check=False, shutdown_timeout=PATIENCE_S):
        sample.note.apply_async(("soon",), countdown=0.2)
        sample.fail.delay("twice")
        [dead] = eventually(lambda: list(DeadSet(sample.app)))
        assert (dead.task, dead.count) == ("fail", 1)
        eventually(lambda: "soon" in sample.runs)


def test_another_broker_is_refused_with_what_there_is() -> None:
    with pytest.raises(SidekiqError, match=r"the broker is 'sqs': Sidekiq needs redis, .*memory, inprocess"):
        Sample("sqs://")


def test_the_dead_set_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery_impl.sidekiq.memory.store.DEAD_LIMIT", 3)
    assert DEAD_LIMIT == 10_000
    sample = Sample(URLS[0])
    with run_in_process(sample.app, grace_s=0.2):
        for number in range(5):
            sample.app.send_task("unheard.of", (number,))
        eventually(lambda: [job.args for job in DeadSet(sample.app)] == [[4], [3], [2]])
