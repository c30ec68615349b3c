"""What a kill does to accepted jobs, in both profiles, with real workers and a real broker."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from celery_impl.sidekiq.worker.request import POISON_DEATHS

JOBS = [f"job{number}" for number in range(6)]


@pytest.fixture(autouse=True, params=["lease", pytest.param("timeout", marks=pytest.mark.slow)])
def _fetch(request: pytest.FixtureRequest, lab: Any) -> None:
    """Each test with leases and with kombu's own fetch."""
    lab.env["QUEUE_OR_TASK_FETCH"] = request.param


#: For stock Celery, which has but one fetch.
ONCE = pytest.mark.parametrize("_fetch", ["timeout"], indirect=True)


def test_a_killed_child_runs_its_job_again_when_hardened(lab: Any) -> None:
    sample = lab.sample()
    lab.worker()
    sample.note.delay("a", 1.0)
    [(child, _)] = lab.eventually(lambda: lab.runs("start", "a"))

    os.kill(child, signal.SIGKILL)

    lab.eventually(lambda: lab.runs("done", "a"))
    assert len(lab.runs("start", "a")) == 2


@ONCE
def test_a_killed_childs_job_is_given_up_with_a_log_line_when_stock(lab: Any) -> None:
    sample = lab.sample("stock", QUEUE_OR_TASK_LEDGER=str(lab.folder))
    worker = lab.worker()
    sample.run_long.delay("u1")
    [(child, _)] = lab.eventually(lambda: lab.runs("start", "u1"))

    os.kill(child, signal.SIGKILL)

    [failed] = lab.eventually(lab.failures)
    assert (failed["job"], failed["where"]) == ("u1/crm", "log")
    lab.eventually(lambda: "WorkerLostError" in worker.output)
    sample.note.delay("b")
    lab.eventually(lambda: lab.runs("done", "b"))
    assert len(lab.runs("start", "u1")) == 1


def test_a_killed_worker_loses_no_accepted_job_when_hardened(lab: Any) -> None:
    sample = lab.sample(QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S="2")
    first = lab.worker()
    for job in JOBS:
        sample.note.delay(job, 0.5)
    lab.eventually(lambda: lab.runs("start", "job3"))

    first.kill()
    lab.worker()

    lab.eventually(lambda: all(lab.runs("done", job) for job in JOBS))
    again = [job for job in JOBS if len(lab.runs("start", job)) > 1]
    assert len(again) <= 2, "only what ran at the kill may run twice"


@ONCE
def test_a_killed_worker_leaves_jobs_unacknowledged_when_stock(lab: Any) -> None:
    sample = lab.sample("stock")
    first = lab.worker()
    for job in JOBS:
        sample.note.delay(job, 60)
    lab.eventually(lambda: lab.runs("start", "job0") and lab.runs("start", "job1"))
    lab.eventually(lambda: lab.redis.hlen("unacked") == 4)

    first.kill()
    lab.worker()

    sample.note.delay("after")
    lab.eventually(lambda: lab.runs("done", "after"))
    assert lab.redis.hlen("unacked") == 4
    assert sum(len(lab.runs("start", job)) for job in JOBS) == 2


def test_a_terminated_worker_gives_back_what_it_had_not_begun(lab: Any) -> None:
    sample = lab.sample()
    worker = lab.worker()
    for job in JOBS:
        sample.note.delay(job, 0.5)
    lab.eventually(lambda: lab.runs("start", "job0") and lab.runs("start", "job1"))

    worker.terminate()

    done = sum(len(lab.runs("done", job)) for job in JOBS)
    assert done == sum(len(lab.runs("start", job)) for job in JOBS)
    assert lab.redis.llen("celery") == len(JOBS) - done
    assert lab.redis.hlen("unacked") == 0


def test_a_job_beyond_the_visibility_timeout_runs_once_while_its_worker_stops(lab: Any) -> None:
    sample = lab.sample(QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S="1.5")
    workers = lab.workers(2)
    sample.note.delay("a", 3.5)
    [(child, _)] = lab.eventually(lambda: lab.runs("start", "a"))
    [busy] = [worker for worker in workers if child in worker.children]

    busy.terminate()

    assert len(lab.runs("done", "a")) == 1
    lab.eventually(lambda: not lab.redis.hlen("unacked") and not lab.redis.llen("celery"))
    assert len(lab.runs("start", "a")) == 1


def test_a_worker_finds_its_broker_again_and_the_jobs_that_it_kept(lab: Any) -> None:
    sample = lab.sample()
    lab.worker("--concurrency", "1")
    sample.note.delay("first", 1.0)
    lab.eventually(lambda: lab.runs("start", "first"))
    for job in JOBS:
        sample.note.delay(job)

    lab.broker.kill()
    lab.broker.restart()

    lab.eventually(lambda: all(lab.runs("done", job) for job in JOBS))
    lab.eventually(lambda: lab.runs("done", "first"))


def test_a_long_job_outlives_deploys_that_send_term_to_every_process(lab: Any) -> None:
    """Three of its processes are killed, and not by it: that is no poison."""
    sample = lab.sample()
    sample.wait.delay("a")
    for deploy in range(POISON_DEATHS):
        worker = lab.worker("--concurrency", "1")
        lab.eventually(lambda runs=deploy + 1: len(lab.runs("start", "a")) == runs)
        worker.terminate_group()
    lab.worker("--concurrency", "1")
    (lab.folder / "go-a").touch()

    lab.eventually(lambda: lab.runs("done", "a") or lab.sets.dead_jobs())
    assert lab.sets.dead_jobs() == []


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_memory_error_ends_no_worker_and_its_job_is_dead_once(lab: Any, pool: str) -> None:
    sample = lab.sample()
    worker = lab.worker("--pool", pool, "--concurrency", "1")
    sample.run_out_of_memory.delay("a")
    sample.note.delay("b")

    lab.eventually(lambda: lab.runs("done", "b"))
    assert [job.error_class for job in lab.sets.dead_jobs()] == ["MemoryError"]
    assert not worker.ended
    worker.terminate()
    assert worker.exit_code == 0
    assert len(lab.runs("start", "a")) == 1


def test_a_job_that_waits_in_a_pool_of_threads_runs_once_though_the_connection_was_lost(lab: Any) -> None:
    """It goes back to its queue then, and comes again: the thread must not take it too."""
    sample = lab.sample()
    worker = lab.worker("--pool", "threads", "--concurrency", "1", "--prefetch-multiplier", "4")
    sample.wait.delay("a")
    lab.eventually(lambda: lab.runs("start", "a"))
    for job in ("b", "c"):
        sample.note.delay(job)
    lab.eventually(lambda: lab.redis.llen("celery") == 0)

    lab.broker.kill()
    lab.broker.restart()
    lab.eventually(lambda: worker.output.count("Connected to") == 2)
    (lab.folder / "go-a").touch()
    sample.note.delay("last")

    lab.eventually(lambda: all(lab.runs("done", job) for job in ("a", "b", "c", "last")))
    assert [len(lab.runs("start", job)) for job in ("a", "b", "c", "last")] == [1, 1, 1, 1]
