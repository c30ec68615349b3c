"""Coming from `redis://`: what a worker of before left unacknowledged is adopted."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from celery_impl.sidekiq import Sidekiq
from celery_impl.sidekiq.api import NoSidekiqError, adopt_unacked, unacked_jobs

JOBS = [f"job{number}" for number in range(9)]


@pytest.fixture
def left(lab: Any) -> Any:
    """The sample app with a lease, after a stock worker was killed with seven jobs that it had not begun."""
    stock = lab.sample("stock")
    for job in JOBS:
        stock.wait.delay(job)
    worker = lab.worker("--concurrency", "2", "--prefetch-multiplier", "5")
    lab.eventually(lambda: lab.runs("start", JOBS[1]) and lab.redis.zcard("unacked_index") == 7)
    worker.kill()
    for job in JOBS:
        (lab.folder / f"go-{job}").touch()
    return lab.sample(QUEUE_OR_TASK_FETCH="lease", QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S="3600")


def test_a_worker_says_what_is_left_and_a_person_has_it_back_at_once(left: Any, lab: Any) -> None:
    worker = lab.worker()
    lab.eventually(lambda: "7 jobs that workers of redis:// took are not acknowledged" in worker.output)
    assert unacked_jobs(left.app) == 7

    done = lab.celery("-A", "sample_app", "sidekiq", "adopt")

    assert done.stdout == "queued 7 jobs\n", done.stderr
    lab.eventually(lambda: all(lab.runs("done", job) for job in JOBS[2:]))
    assert [len(lab.runs("start", job)) for job in JOBS] == [1] * 9, "two were acknowledged when they began"
    assert (unacked_jobs(left.app), adopt_unacked(left.app), lab.redis.hlen("unacked")) == (0, 0, 0)


def test_what_has_timed_out_is_adopted_by_itself_and_what_has_not_is_left(left: Any, lab: Any) -> None:
    lab.redis.zadd("unacked_index", dict.fromkeys(lab.redis.zrange("unacked_index", 0, 4), 0))

    lab.workers(2)

    lab.eventually(lambda: sum(len(lab.runs("done", job)) for job in JOBS) == 5)
    lab.eventually(lambda: unacked_jobs(left.app) == 2)
    assert all(len(lab.runs("start", job)) <= 1 for job in JOBS)


def test_where_there_is_no_lease_nothing_is_adopted() -> None:
    app: Celery[Any] = Celery(broker="memory://", set_as_current=False)
    Sidekiq(app)
    with pytest.raises(NoSidekiqError):
        adopt_unacked(app)
