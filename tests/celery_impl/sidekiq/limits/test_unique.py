"""Unique jobs: the second learns of the first, and the place is free again however the first one ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from celery import Celery, chain
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from kombu.exceptions import OperationalError

from celery_impl.sidekiq import Duplicate, Limiter, NotUnique, Sidekiq, testing
from celery_impl.sidekiq.api import DeadSet, Queue, RetrySet, ScheduledSet
from celery_impl.sidekiq.limits import unique
from celery_impl.sidekiq.limits.unique import Locks, UniqueOptionError, digest
from celery_impl.sidekiq.redis.unique_lua import UNIQUE


@pytest.fixture(params=["{}", "lease+{}"], ids=["sidekiq", "lease"])
def extras(request: pytest.FixtureRequest, lab: Any) -> Any:
    lab.app = "extras_app"
    return lab.sample(REDIS_URL=request.param.format(lab.broker.url))


def write_down(job: str) -> str:
    return job


def free(lab: Any) -> bool:
    return not lab.redis.keys(f"{UNIQUE}*")


def test_the_second_of_two_alike_is_the_duplicate_of_the_first_and_is_not_sent(lab: Any, extras: Any) -> None:
    first = extras.until_done.delay("a")
    again = extras.until_done.delay("a")
    other = extras.until_done.delay("b")

    assert (type(again), again.id) == (Duplicate, first.id)
    assert not isinstance(first, Duplicate)
    assert not isinstance(other, Duplicate)
    assert unique.holder(extras.until_done, "a") == first.id
    assert lab.redis.llen("celery") == 2


def test_whoever_asks_for_an_error_gets_the_id_of_the_job_that_has_the_place(lab: Any, extras: Any) -> None:
    first = extras.strict.delay("a")

    with pytest.raises(NotUnique, match=f"extras_app.strict: job {first.id} with the same") as caught:
        extras.strict.delay("a")

    assert caught.value.holder == first.id
    assert lab.redis.llen("celery") == 1


def test_where_the_caller_has_chosen_the_id_a_duplicate_is_an_error_always(lab: Any, extras: Any) -> None:
    """A chain waits for the ids that it has given; one that nobody runs would keep it waiting for ever."""
    extras.until_done.delay("a")

    with pytest.raises(NotUnique):
        extras.until_done.apply_async(("a",), task_id="mine")
    with pytest.raises(NotUnique):
        chain(extras.until_done.si("a"), extras.until_done.si("b")).delay()
    assert lab.redis.llen("celery") == 1


def test_of_many_senders_at_once_one_sends(lab: Any, extras: Any) -> None:
    results: list[Any] = []
    senders = [
        threading.Thread(target=lambda: results.append(extras.until_done.delay("a"))) for _ in range(20)
    ]

    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert len({result.id for result in results}) == 1
    assert sum(not isinstance(result, Duplicate) for result in results) == 1
    assert lab.redis.llen("celery") == 1


def test_until_done_keeps_the_place_while_it_runs_and_until_start_does_not(lab: Any, extras: Any) -> None:
    lab.worker()
    done = extras.until_done.delay("waits-done")
    extras.until_start.delay("waits-start")
    for job in ("waits-done", "waits-start"):
        lab.eventually(lambda job=job: lab.runs("start", job))

    assert extras.until_done.delay("waits-done").id == done.id
    assert not isinstance(extras.until_start.delay("waits-start"), Duplicate)
    for job in ("done", "start"):
        (lab.folder / f"go-waits-{job}").touch()

    lab.eventually(lambda: len(lab.runs("done", "waits-start")) == 2)
    lab.eventually(lambda: lab.runs("done", "waits-done") and free(lab))
    assert len(lab.runs("start", "waits-done")) == 1


@pytest.mark.parametrize("end", ["discarded", "ignored", "strict", "expired", "revoked"])
def test_the_place_is_free_however_the_job_ends(lab: Any, extras: Any, end: str) -> None:
    if end == "strict":
        extras.strict.delay("fails")
    elif end == "expired":
        extras.until_done.apply_async(("a",), expires=0.001)
    elif end == "revoked":
        extras.until_done.apply_async(("a",), task_id="unwanted")
    else:
        extras.until_done.delay(end)
    assert not free(lab)

    worker = lab.start("--concurrency", "1")
    if end == "revoked":
        lab.eventually(lambda: extras.app.control.revoke("unwanted", reply=True, timeout=0.2) or free(lab))

    lab.eventually(lambda: free(lab))
    assert not worker.ended


def test_a_retry_keeps_the_place_and_death_frees_it(lab: Any, extras: Any) -> None:
    lab.worker()
    sent = extras.until_done.delay("fails")

    [dead_job] = lab.eventually(lambda: list(DeadSet(extras.app)))

    assert dead_job.id == sent.id
    assert len(lab.runs("start", "fails")) == 2, "the retry was not taken for a duplicate of itself"
    lab.eventually(lambda: free(lab))


def test_a_job_in_the_retry_set_has_its_place(lab: Any, extras: Any) -> None:
    extras.until_done.sidekiq_schedule = None
    sent = extras.until_done.apply_async(("a",), retries=1, countdown=60)

    assert extras.until_done.delay("a").id == sent.id
    assert 600 < lab.redis.pttl(lab.redis.keys(f"{UNIQUE}*")[0]) / 1000 <= 660


def test_a_job_that_kills_its_processes_keeps_the_place_until_it_is_dead(lab: Any, extras: Any) -> None:
    lab.worker()
    sent = extras.until_done.delay("dies")
    lab.eventually(lambda: len(lab.runs("start", "dies")) >= 2)
    assert unique.holder(extras.until_done, "dies") in (sent.id, None)  # None: it is dead by now

    lab.eventually(lambda: list(DeadSet(extras.app)))
    lab.eventually(lambda: free(lab))


def test_a_job_without_retries_over_its_time_limit_frees_the_place(lab: Any, extras: Any) -> None:
    lab.worker()
    extras.strict.delay("stuck")

    lab.eventually(lambda: lab.runs("start", "stuck"))
    lab.eventually(lambda: free(lab))


def test_a_killed_worker_leaves_the_place_to_its_job_which_frees_it(lab: Any, extras: Any) -> None:
    worker = lab.worker("--concurrency", "1")
    sent = extras.until_done.delay("waits")
    lab.eventually(lambda: lab.runs("start", "waits"))

    worker.kill()
    assert extras.until_done.delay("waits").id == sent.id
    (lab.folder / "go-waits").touch()
    lab.worker("--concurrency", "1")

    lab.eventually(lambda: lab.runs("done", "waits") and free(lab))


@pytest.mark.parametrize("act", ["delete", "kill", "clear"])
def test_a_person_who_removes_the_job_frees_its_place_and_only_its(lab: Any, extras: Any, act: str) -> None:
    app = extras.app
    extras.until_done.delay("queued")
    extras.until_done.apply_async(("later",), countdown=60)
    extras.until_done.apply_async(("again",), countdown=60, retries=1)
    lab.redis.set(f"{UNIQUE}{'0' * 64}", "9999999999999\nsomebody else")

    for place in (Queue(app, "celery"), ScheduledSet(app), RetrySet(app)):
        assert (place.clear() if act == "clear" else getattr(place, act)(*place)) == 1

    assert lab.redis.keys(f"{UNIQUE}*") == [f"{UNIQUE}{'0' * 64}"]


def test_a_dead_job_that_a_person_retries_is_not_refused(lab: Any, extras: Any) -> None:
    lab.worker()
    extras.until_done.delay("fails")
    dead = DeadSet(extras.app)
    [dead_job] = lab.eventually(lambda: list(dead))

    assert dead.retry(dead_job) == 1
    lab.eventually(lambda: len(lab.runs("start", "fails")) == 3 and dead.size() == 1)
    lab.eventually(lambda: free(lab))


def test_a_job_that_could_not_be_sent_does_not_keep_the_place(lab: Any, extras: Any) -> None:
    with pytest.raises(Exception, match="no-such"):
        extras.until_done.apply_async(("a",), serializer="no-such")

    assert free(lab)


def test_without_the_broker_a_unique_job_is_refused(lab: Any, extras: Any) -> None:
    extras.until_done.delay("a")
    lab.broker.kill()

    with pytest.raises(OperationalError):
        extras.until_done.delay("b")


def test_a_person_may_free_a_place_whose_job_is_gone(lab: Any, extras: Any) -> None:
    sent = extras.until_done.delay("a")
    lab.redis.delete("celery")

    assert unique.free(extras.until_done, "a") == sent.id
    assert unique.free(extras.until_done, "a") is None
    assert not isinstance(extras.until_done.delay("a"), Duplicate)


@pytest.mark.filterwarnings("ignore:Task name .* is already registered")  # of other tests' apps
def test_in_test_modes_nothing_is_unique_or_limited_and_nothing_asks_the_broker(lab: Any) -> None:
    app = Celery("fake", broker=lab.broker.url)
    Sidekiq(app)
    limit = Limiter.window(app, "crm", "1/d")
    task = app.task(name="fake.note", sidekiq_unique="until_done", sidekiq_limits=[limit], shared=False)(
        write_down
    )
    lab.broker.kill()

    with testing.fake(app) as jobs:
        task.delay("a")
        task.delay("a")
        assert jobs.drain() == 2


@pytest.mark.parametrize(
    "options",
    [
        {"sidekiq_unique": "for_ever"},
        {"sidekiq_unique_conflict": "ignore"},
        {"sidekiq_unique_for": 0},
        {"sidekiq_unique_for": True},
        {"sidekiq_unique_for": float("inf")},
    ],
)
def test_an_option_that_is_none_is_refused_when_the_task_is_made(
    extras: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(UniqueOptionError, match=next(iter(options))):
        extras.app.task(name="bad", shared=False, **options)(write_down).delay("a")


def test_a_lock_is_named_alike_for_what_is_sent_and_what_arrives() -> None:
    assert digest("t", ("a", [1]), {"x": 1, "y": 2}) == digest("t", ["a", [1]], {"y": 2, "x": 1})
    assert digest("t", (), None) == digest("t", None, {})
    assert len({digest("t", (1,), {}), digest("t", ("1",), {}), digest("u", (1,), {})}) == 3
    assert digest("t", ([1, 2],), {}) != digest("t", (1, 2), {})


class LocksMachine(RuleBasedStateMachine):
    """`held`: the digest of each lock to the job that has it and the time (ms) until when."""

    lab: Any
    digests = st.sampled_from(["d1", "d2"])
    jobs = st.sampled_from(["j1", "j2", "j3"])
    lengths = st.sampled_from([60_000, 90_000, 600_000])

    def __init__(self) -> None:
        super().__init__()
        self.lab.redis.flushall()
        self.locks = Locks(self.lab.sets.client, prefix="p:")
        self.now = 1_700_000_000_000
        self.held: dict[str, tuple[str, int]] = {}

    def holder(self, mark: str) -> str | None:
        job, ends = self.held.get(mark, (None, 0))
        return job if ends > self.now else None

    @rule(mark=digests, job=jobs, length=lengths)
    def take(self, mark: str, job: str, length: int) -> None:
        before = self.holder(mark)
        refused = self.locks.take(mark, job, length, now=self.now)
        assert refused == (before if before != job else None)
        if refused is None:
            same = self.held.get(mark, ("", 0))
            kept = same[1] if same[0] == job else 0
            self.held[mark] = (job, max(kept, self.now + length))

    @rule(mark=digests, job=jobs)
    def free(self, mark: str, job: str) -> None:
        had = self.held.get(mark, ("", 0))[0] == job
        assert self.locks.free(mark, job) is had
        if had:
            del self.held[mark]

    @rule(ms=st.sampled_from([1, 59_999, 60_000, 300_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @invariant()
    def each_lock_is_held_by_whom_the_model_says_and_ends_by_itself(self) -> None:
        for mark in ("d1", "d2"):
            assert self.locks.holder(mark, now=self.now) == self.holder(mark)
            left = self.lab.redis.pttl(f"p:{UNIQUE}{mark}")
            assert (left > 0) if mark in self.held else (left == -2)


@pytest.mark.hypothesis
def test_no_sequence_gives_a_place_to_two_or_frees_another_ones(lab: Any) -> None:
    LocksMachine.lab = lab
    run_state_machine_as_test(
        LocksMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
