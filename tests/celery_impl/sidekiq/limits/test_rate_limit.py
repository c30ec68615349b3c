"""Limits that all workers share: never more than they allow, and what is over them is put off, not failed."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from celery_impl.sidekiq import Limiter, OverLimitError
from celery_impl.sidekiq.api import DeadSet, RetrySet, ScheduledSet
from celery_impl.sidekiq.limits.rate_limit import (
    LIMIT,
    LONGEST_SPREAD_S,
    PUT_OFF_HEADER,
    PUT_OFF_LIMIT,
    LimitOptionError,
    put_off_s,
)

#: The key of the uses of `hourly`.
WINDOW = f"{LIMIT}window:hourly"


@pytest.fixture
def extras(lab: Any) -> Any:
    lab.app = "extras_app"
    return lab.sample()


@pytest.fixture
def extras_on_lease(lab: Any) -> Any:
    lab.app = "extras_app"
    return lab.sample(REDIS_URL=f"lease+{lab.broker.url}")


def times(lab: Any, event: str) -> list[float]:
    lines = [line.split() for line in (lab.folder / "runs").read_text().splitlines()]
    return sorted(float(line[3]) for line in lines if line[0] == event)


def started_by(lab: Any) -> set[int]:
    """Process ids of all that have begun a job."""
    path = lab.folder / "runs"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return {int(line[2]) for line in lines if line[0] == "start"}


def now_us(lab: Any) -> int:
    """The broker's clock."""
    seconds, us = lab.redis.time()
    return int(seconds) * 1_000_000 + int(us)


@pytest.mark.parametrize("kind", ["extras", "extras_on_lease"])
def test_two_workers_together_keep_a_window_and_run_every_job_once(
    lab: Any, request: pytest.FixtureRequest, kind: str
) -> None:
    """An hour passes when the test says so: the uses in the window grow older, and what waits is due."""
    extras = request.getfixturevalue(kind)
    jobs = [f"waits{number}" for number in range(20)]
    workers = lab.workers(2, "--concurrency", "2")
    for job in jobs:  # the profile's own limit might end one that waits
        extras.hourly.apply_async((job,), time_limit=600, soft_time_limit=600)
    lab.eventually(lambda: len(started_by(lab)) == 4)  # a place in each process of both workers
    assert all(started_by(lab) & set(worker.children) for worker in workers)
    for job in jobs:
        (lab.folder / f"go-{job}").touch()

    scheduled = ScheduledSet(extras.app)
    for done in (5, 10, 15, 20):
        lab.eventually(lambda: len(times(lab, "done")) + scheduled.size() == 20)
        assert (len(times(lab, "start")), scheduled.size()) == (done, 20 - done)
        assert all(PUT_OFF_HEADER in json.loads(job.message or "{}")["headers"] for job in scheduled)
        for use, at_ms in lab.redis.zrange(WINDOW, 0, -1, withscores=True):
            lab.redis.zadd(WINDOW, {use: at_ms - 3_600_000})
        scheduled.retry_all()

    assert [len(lab.runs("start", job)) for job in jobs] == [1] * 20
    assert RetrySet(extras.app).size() == DeadSet(extras.app).size() == 0


def test_by_the_brokers_own_clock_a_window_lets_in_as_many_in_any_second_as_it_allows(
    lab: Any, extras: Any
) -> None:
    """A use begins between two looks at that clock, however long they are apart."""
    before_us, after_us = [], []
    for number in range(12):
        seen_us: list[int] = []

        def is_let_in(use: str, seen_us: list[int]) -> bool:
            seen_us.append(now_us(lab))
            return bool(extras.crm.ask(use) == 0.0)

        lab.eventually(partial(is_let_in, f"use{number}", seen_us))
        before_us.append(seen_us[-1])
        after_us.append(now_us(lab))

    spans_us = [after - before for before, after in zip(before_us, after_us[5:], strict=False)]
    assert len(spans_us) == 7
    assert min(spans_us) > 999_000, "the script counts whole milliseconds"


def test_of_all_workers_no_more_run_at_a_time_than_a_concurrent_limit_allows(lab: Any, extras: Any) -> None:
    for number in range(8):
        extras.few.delay(f"job{number}")
    lab.workers(2, "--concurrency", "2")

    lab.eventually(lambda: (lab.folder / "runs").exists() and len(times(lab, "out")) == 8)

    moves = sorted([(t, 1) for t in times(lab, "in")] + [(t, -1) for t in times(lab, "out")])
    inside = [sum(step for _, step in moves[: place + 1]) for place in range(len(moves))]
    assert max(inside) == 2
    assert lab.redis.zcard("sidekiq:limit:concurrent:erp") == 0


def test_a_job_over_the_limit_waits_in_the_schedule_set_with_its_attempts(lab: Any, extras: Any) -> None:
    lab.worker("--concurrency", "1")
    extras.never.delay("first")
    lab.eventually(lambda: lab.runs("done", "first"))

    sent = extras.never.apply_async(("second",), headers={"mine": "kept"}, priority=3)

    [job] = lab.eventually(lambda: list(ScheduledSet(extras.app)))
    message = json.loads(job.message)
    assert (job.id, job.count, job.args, job.queue_key) == (sent.id, 0, ["second"], "celery\x06\x163")
    assert (message["headers"]["mine"], message["headers"][PUT_OFF_HEADER]) == ("kept", 1)
    assert lab.runs("start", "second") == []
    assert 3000 < job.at - float(lab.redis.time()[0]) < 3600 + LONGEST_SPREAD_S + 1


def test_a_job_that_was_put_off_too_often_fails_like_any_other_and_is_dead_at_last(
    lab: Any, extras: Any
) -> None:
    lab.worker("--concurrency", "1")
    extras.never.delay("first")
    lab.eventually(lambda: lab.runs("done", "first"))

    extras.never.apply_async(("second",), headers={PUT_OFF_HEADER: PUT_OFF_LIMIT})

    [dead_job] = lab.eventually(lambda: list(DeadSet(extras.app)))
    assert (dead_job.error_class, dead_job.count) == ("OverLimitError", 1)
    assert lab.runs("start", "second") == []


def test_a_part_of_a_job_or_a_request_may_be_limited_and_may_wait_for_room(extras: Any) -> None:
    slept: list[float] = []
    limit = Limiter.bucket(extras.app, "once", "1/h")
    with limit.within_limit():
        pass

    with (
        pytest.raises(OverLimitError, match="over the limit 'once': there may be room in") as caught,
        limit.within_limit(wait_s=0.01, sleep=slept.append),
    ):
        pytest.fail("there is no room")

    assert 0 < caught.value.free_in_s <= 3600
    assert slept
    assert max(slept) <= 0.01


def test_a_place_is_given_back_when_its_block_fails(extras: Any) -> None:
    limit = Limiter.concurrent(extras.app, "one", 1)
    with pytest.raises(LookupError), limit.within_limit():
        raise LookupError

    with limit.within_limit(), pytest.raises(OverLimitError), limit.within_limit():
        pytest.fail("there is no room")


def test_a_use_that_took_too_long_has_lost_its_place_and_says_so(
    lab: Any, extras: Any, caplog: pytest.LogCaptureFixture
) -> None:
    limit = Limiter.concurrent(extras.app, "short", 1, hold_s=0.05)
    with limit.within_limit():
        lab.eventually(lambda: limit.ask("another") == 0.0)

    assert "limit 'short': a use took longer than its 50 ms" in caplog.text


def test_without_the_broker_nothing_is_let_in(lab: Any, extras: Any) -> None:
    assert extras.crm.ask("a") == 0.0
    lab.broker.kill()

    with pytest.raises(redis.ConnectionError), extras.crm.within_limit():
        pytest.fail("nobody knows whether there is room")


def test_many_threads_at_once_get_as_many_places_as_there_are(extras: Any) -> None:
    limit = Limiter.window(extras.app, "rush", "7/h")
    answers: list[float] = []
    askers = [threading.Thread(target=lambda n=n: answers.append(limit.ask(f"{n}"))) for n in range(30)]

    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert (len(answers), answers.count(0.0)) == (30, 7)


@given(
    free=st.floats(0.001, 7200), spread=st.floats(1, 3600), before=st.integers(0, 20), draw=st.floats(0, 1)
)
def test_a_job_waits_for_a_place_and_a_random_time_that_doubles(
    free: float, spread: float, before: int, draw: float
) -> None:
    over = OverLimitError("x", free, spread)

    wait = put_off_s(over, before, draw=lambda: draw)

    least = min(free, spread)
    assert least <= wait <= least + min(spread * 2**before, LONGEST_SPREAD_S)
    assert put_off_s(over, before, draw=lambda: 0.0) == least


@pytest.mark.parametrize(
    "rate", ["", "10", "10/", "0/s", "-1/s", "1.5/s", "10/y", "10/0s", "10 / s", 10, None]
)
def test_a_rate_that_is_none_is_refused(extras: Any, rate: Any) -> None:
    for make in (Limiter.window, Limiter.bucket):
        with pytest.raises(LimitOptionError, match="expected a number, a slash and a period"):
            make(extras.app, "x", rate)


@pytest.mark.parametrize(("count", "hold_s"), [(0, 1), (True, 1), (1.5, 1), (1, 0), (1, float("inf"))])
def test_a_count_that_is_none_is_refused(extras: Any, count: Any, hold_s: float) -> None:
    with pytest.raises(LimitOptionError):
        Limiter.concurrent(extras.app, "x", count, hold_s=hold_s)


def test_a_rate_is_read_with_its_period(extras: Any) -> None:
    spans = {
        rate: Limiter.window(extras.app, "x", rate).span_ms for rate in ("1/s", "1/90s", "1/m", "1/2h", "1/d")
    }

    assert spans == {"1/s": 1000, "1/90s": 90_000, "1/m": 60_000, "1/2h": 7_200_000, "1/d": 86_400_000}


class LimitsMachine(RuleBasedStateMachine):
    """The model: when each use of the window and the bucket began, and until when each place is held."""

    lab: Any
    app: Any
    span_ms = 600_000
    count = 3

    def __init__(self) -> None:
        super().__init__()
        self.lab.redis.flushall()
        self.window = Limiter.window(self.app, "w", "3/10m")
        self.bucket = Limiter.bucket(self.app, "b", "3/10m")
        self.places = Limiter.concurrent(self.app, "c", 3, hold_s=600)
        self.now = 1_700_000_000_000
        self.number = 0
        self.began: list[int] = []
        self.used: dict[int, int] = {}
        self.held: dict[str, int] = {}

    def use(self) -> str:
        self.number += 1
        return f"use{self.number}"

    def living(self) -> dict[str, int]:
        return {use: ends for use, ends in self.held.items() if ends > self.now}

    @rule()
    def ask_window(self) -> None:
        recent = sorted(at for at in self.began if at > self.now - self.span_ms)
        free_in = 0 if len(recent) < 3 else recent[-3] + self.span_ms - self.now
        assert self.window.ask(self.use(), now=self.now) == free_in / 1000
        if not free_in:
            self.began.append(self.now)

    @rule()
    def ask_bucket(self) -> None:
        bucket = self.now // self.span_ms
        free_in = 0 if self.used.get(bucket, 0) < 3 else (bucket + 1) * self.span_ms - self.now
        assert self.bucket.ask(self.use(), now=self.now) == free_in / 1000
        if not free_in:
            self.used[bucket] = self.used.get(bucket, 0) + 1

    @rule()
    def ask_place(self) -> None:
        living, use = self.living(), self.use()
        free_in = 0 if len(living) < 3 else min(living.values()) - self.now
        assert self.places.ask(use, now=self.now) == free_in / 1000
        self.held = living | ({} if free_in else {use: self.now + self.span_ms})

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A place that is over may still stand there, until somebody asks."""
        use = data.draw(st.sampled_from(sorted(self.held)))
        assert self.places.leave(use) is True
        assert self.places.leave(use) is False
        del self.held[use]

    @rule(ms=st.sampled_from([1, 1000, 200_000, 599_999, 600_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms


@pytest.mark.hypothesis
def test_no_sequence_lets_in_more_than_the_limits_allow_or_fewer(lab: Any, extras: Any) -> None:
    LimitsMachine.lab, LimitsMachine.app = lab, extras.app
    run_state_machine_as_test(
        LimitsMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
