"""Clocks that are wrong or step: a server and workers whose wall clock a preloaded library shifts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.faults.clock_shift import SHIFT, preloaded, shift_clock, unavailable
from bench.world.broker import Broker
from celery_impl.sidekiq.lease.lease_store import LEASES
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE
from tests.celery_impl.sidekiq.beat.test_beat import EVERY_S, Field

JOBS = [f"job{number}" for number in range(4)]
HOUR_S = 3600

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


@pytest.fixture
def broker(tmp_path: Path, _broker_at_hand: None) -> Iterator[Broker]:
    """A broker of the test's own, whose clock `shift` shifts."""
    variables = preloaded(tmp_path / "clock")
    own = {"PATH": os.environ["PATH"]}
    with Broker.start(tmp_path / "server", env=own, variables=variables) as started:
        yield started


@pytest.fixture
def shift(tmp_path: Path) -> Callable[[int], None]:
    return lambda seconds: shift_clock(tmp_path / "clock" / SHIFT, seconds)


def brokers_time(lab: Any) -> float:
    return float(lab.redis.time()[0])


@pytest.mark.parametrize("step_s", [-HOUR_S, HOUR_S])
def test_a_step_of_the_brokers_clock_keeps_no_dead_workers_jobs_and_takes_no_living_ones(
    lab: Any, shift: Callable[[int], None], step_s: int
) -> None:
    sample = lab.sample(REDIS_URL=f"lease+{lab.broker.url}")
    dying = lab.worker("--queues", "dying", "--concurrency", "1", "--prefetch-multiplier", "4")
    lab.worker("--queues", "living", "--concurrency", "1")
    sample.wait.apply_async(("long",), queue="living")
    for job in JOBS:
        sample.wait.apply_async((job,), queue="dying")
    lab.eventually(lambda: lab.runs("start", "long") and lab.runs("start", "job0"))
    lab.eventually(lambda: lab.redis.llen("dying") == 0)

    dying.kill()
    before = brokers_time(lab)
    shift(step_s)
    lab.eventually(lambda: abs(brokers_time(lab) - before - step_s) < 60)

    lab.eventually(lambda: lab.redis.llen("dying") == len(JOBS), within_s=20.0)
    assert len(lab.runs("start", "long")) == 1
    (lab.folder / "go-long").touch()
    lab.eventually(lambda: lab.runs("done", "long"))


def test_a_step_of_the_brokers_clock_back_by_less_than_a_lease_is_no_sign_of_life_missing(
    lab: Any, shift: Callable[[int], None]
) -> None:
    """Renewals of which some have the same time as others before."""
    sample = lab.sample(REDIS_URL=f"lease+{lab.broker.url}")
    lab.workers(2, "--concurrency", "1")
    for job in ("a", "b"):
        sample.wait.delay(job)
    lab.eventually(lambda: lab.runs("start", "a") and lab.runs("start", "b"))
    for seconds in range(-1, -6, -1):
        shift(seconds)
        signs = dict(lab.redis.zrange(LEASES, 0, -1, withscores=True))

        def all_have_signed(signs: dict[str, float] = signs) -> bool:
            now = dict(lab.redis.zrange(LEASES, 0, -1, withscores=True))
            return all(now[holder] != sign for holder, sign in signs.items())

        lab.eventually(all_have_signed)
    for job in ("a", "b"):
        (lab.folder / f"go-{job}").touch()
    lab.eventually(lambda: lab.runs("done", "a") and lab.runs("done", "b"))
    assert [len(lab.runs("start", job)) for job in ("a", "b")] == [1, 1]


@pytest.mark.parametrize("step_s", [-HOUR_S, HOUR_S])
def test_a_step_of_the_brokers_clock_keeps_the_beats_lease_for_no_dead_one_and_its_ticks_go_on(
    lab: Any, shift: Callable[[int], None], step_s: int
) -> None:
    field = Field(lab)
    app = field.app(e=(EVERY_S, {"overlap": "allow"}))
    try:
        first, second = field.two(app)
        field.more(1)
        first.end(signal.SIGKILL)
        before = brokers_time(lab)
        shift(step_s)
        field.until(lambda: abs(brokers_time(lab) - before - step_s) < 60)
        field.until(
            lambda: field.lab.redis.hget("sidekiq:beat:lease", "holder").split(":")[-2] == str(second.pid)
        )
        field.more(3)
        assert all(abs(due - before - step_s) < 60 for due in field.dues()[-3:])
    finally:
        for beat in field.beats:
            beat.end(signal.SIGKILL)


@pytest.fixture
def hurried(lab: Any, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Run `celery …` or Python code in a process whose clock is an hour ahead, until the test ends."""
    variables = preloaded(tmp_path / "ahead")
    shift_clock(tmp_path / "ahead" / SHIFT, HOUR_S)
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> None:
        env = {**os.environ, **lab.env, **variables}
        with (tmp_path / "hurried.log").open("ab") as log:
            started.append(
                subprocess.Popen([sys.executable, *arguments], env=env, stdout=log, stderr=log, cwd=tmp_path)
            )

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_what_is_due_is_by_the_brokers_clock_whatever_a_worker_and_a_sender_have(
    lab: Any, hurried: Callable[..., None]
) -> None:
    """The worker's clock is an hour ahead: it queues nothing early, and its retries come in time."""
    sample = lab.sample(REDIS_URL=f"lease+{lab.broker.url}", SIDEKIQ_RETRY_SCALE="1")
    sample.note.apply_async(("later",), countdown=600)
    hurried("-m", "celery", "-A", "sample_app", "worker", "-P", "solo", "--without-mingle", "-l", "INFO")
    sample.fail.delay("failing")
    hurried("-c", "import sample_app; sample_app.note.apply_async(('theirs',), countdown=600)")

    lab.eventually(lambda: lab.redis.zcard(RETRY) == 1 and lab.redis.zcard(SCHEDULE) == 2)
    [(_, retried_at)] = lab.redis.zrange(RETRY, 0, -1, withscores=True)
    now = brokers_time(lab)
    assert abs(now - time.time()) < 60, "else this shows nothing"
    assert 0 < retried_at - now < 60
    for _, due in lab.redis.zrange(SCHEDULE, 0, -1, withscores=True):
        assert 500 < due - now < 610
    assert lab.runs("start", "later") == lab.runs("start", "theirs") == []
