"""`celery worker -P aio` on real brokers."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError, TimeLimitExceeded

from tests.celery_impl.conftest import PATIENCE_S
from tests.inprocess.celery.worker_pool.conftest import AioLab

TRANSPORTS = pytest.mark.parametrize("transport", ["redis", "lease+redis"])


def got(result: Any) -> Any:
    return result.get(timeout=PATIENCE_S)


def only(answers: dict[str, Any] | None) -> Any:
    assert answers is not None
    [answer] = answers.values()
    return answer


def active(app: Any) -> list[str]:
    """The arguments of the jobs that the worker says it runs."""
    answers = app.control.inspect(timeout=PATIENCE_S, limit=1).active()
    return [job["args"][0] for job in only(answers)] if answers else []


@TRANSPORTS
def test_results_retries_errors_and_canvas_are_celerys(aio_lab: AioLab, transport: str) -> None:
    aio = aio_lab.on(transport)
    aio_lab.aio()
    assert got(aio.at_the_third_time.delay()) == 2
    assert got(chain(aio.add.s(1, 2), aio.add.s(3), aio.double.s()).apply_async()) == 12
    assert got(chord([aio.add.s(n, n) for n in range(5)], aio.total.s()).apply_async()) == 20
    if transport == "redis":  # Sidekiq would retry it
        with pytest.raises(ValueError, match="on purpose"):
            got(aio.fail.delay())


@TRANSPORTS
def test_each_of_many_tasks_sees_its_own_request_after_each_await(aio_lab: AioLab, transport: str) -> None:
    aio = aio_lab.on(transport)
    aio_lab.aio("-c", "50")
    sent: Any = group(aio.own_ids.s() for _ in range(50)).apply_async()
    assert got(sent) == [[result.id] * 4 for result in sent.results]


def test_limits_end_a_coroutine_where_it_waits(aio_lab: AioLab) -> None:
    aio = aio_lab.on("redis")
    aio_lab.aio()
    hard, soft = aio.hard_limit.delay(), aio.soft_limit.delay()
    assert got(soft) == "SoftTimeLimitExceeded"
    assert got(aio.soft_limit_in_a_thread.delay()) == "SoftTimeLimitExceeded"
    with pytest.raises(TimeLimitExceeded):
        got(hard)


def test_a_running_task_is_seen_and_terminated(aio_lab: AioLab) -> None:
    aio = aio_lab.on("redis")
    aio_lab.aio()
    running = aio.wait.delay("long")
    aio_lab.began("long")
    assert active(aio.app) == ["long"]
    aio.app.control.revoke(running.id, terminate=True)
    with pytest.raises(TaskRevokedError):
        got(running)
    aio_lab.eventually(lambda: aio_lab.runs("cancelled", "long"))
    assert aio_lab.runs("done", "long") == []


def test_a_coroutine_that_swallows_its_cancellation_is_abandoned_and_frees_its_slot(aio_lab: AioLab) -> None:
    aio = aio_lab.on("redis")
    aio_lab.aio("-c", "1")
    stubborn = aio.cannot_be_cancelled.delay("stubborn")
    aio_lab.began("stubborn")
    aio.app.control.revoke(stubborn.id, terminate=True)
    assert got(aio.add.delay(1, 1)) == 2
    assert aio_lab.runs("cancelled", "stubborn")
    aio_lab.open("stubborn")


def test_no_more_than_c_run_at_once_and_a_waiting_one_can_be_revoked(aio_lab: AioLab) -> None:
    aio = aio_lab.on("redis")
    aio_lab.aio("-c", "2")
    aio.wait.delay("a")
    aio.wait.delay("b")
    aio_lab.began("a")
    aio_lab.began("b")
    revoked, later = aio.wait.delay("revoked"), aio.double.delay(21)
    aio_lab.eventually(
        lambda: only(aio.app.control.inspect(timeout=PATIENCE_S, limit=1).stats())["pool"]["waiting"] == 2
    )
    aio.app.control.revoke(revoked.id, reply=True, timeout=PATIENCE_S, limit=1)
    assert not later.ready()
    aio_lab.open("a")
    assert got(later) == 42
    with pytest.raises(TaskRevokedError):
        got(revoked)
    assert aio_lab.runs("start", "revoked") == []
    aio_lab.open("b")


def test_the_pool_grows_and_shrinks(aio_lab: AioLab) -> None:
    aio = aio_lab.on("redis")
    aio_lab.aio("-c", "1")
    first, second = aio.wait.delay("first"), aio.wait.delay("second")
    aio_lab.began("first")
    aio.app.control.pool_grow(1, reply=True, timeout=PATIENCE_S, limit=1)
    aio_lab.began("second")
    aio.app.control.pool_shrink(1, reply=True, timeout=PATIENCE_S, limit=1)
    stats = only(aio.app.control.inspect(timeout=PATIENCE_S, limit=1).stats())["pool"]
    assert (stats["max-concurrency"], stats["running"]) == (1, 2)
    aio_lab.open("first")
    aio_lab.open("second")
    assert (got(first), got(second)) == ("first", "second")


@TRANSPORTS
def test_a_warm_shutdown_ends_what_runs_and_gives_back_what_waits(aio_lab: AioLab, transport: str) -> None:
    aio = aio_lab.on(transport)
    worker = aio_lab.aio("-c", "1")
    running, waiting = aio.wait.delay("running"), aio.wait.delay("waiting")
    aio_lab.began("running")
    worker.begin_stop()
    aio_lab.eventually(lambda: "Warm shutdown" in worker.output)
    aio_lab.open("running")
    assert got(running) == "running"
    aio_lab.eventually(lambda: worker.ended)
    assert worker.exit_code == 0
    assert aio_lab.runs("start", "waiting") == []
    aio_lab.open("waiting")
    aio_lab.aio()
    assert got(waiting) == "waiting"
    assert len(aio_lab.runs("done", "running")) == 1


def test_a_cold_shutdown_cancels_what_runs_and_the_job_runs_again(aio_lab: AioLab) -> None:
    aio = aio_lab.on("lease+redis")
    worker = aio_lab.aio()
    running = aio.wait.delay("running")
    aio_lab.began("running")
    worker.quit()
    aio_lab.eventually(lambda: worker.ended)
    assert aio_lab.runs("cancelled", "running")
    assert len(aio_lab.runs("ended", "pool")) == 1
    assert "was not run" not in worker.output
    aio_lab.open("running")
    aio_lab.aio()
    assert got(running) == "running"


def test_autoscale_follows_the_load(aio_lab: AioLab) -> None:
    aio = aio_lab.on("redis")
    aio_lab.aio("--autoscale", "3,1")
    results = [aio.wait.delay(job) for job in "abc"]
    for job in "abc":
        aio_lab.began(job)
        aio_lab.open(job)
    assert [got(result) for result in results] == ["a", "b", "c"]


def test_a_killed_workers_coroutines_run_again(aio_lab: AioLab) -> None:
    aio = aio_lab.on("lease+redis")
    worker = aio_lab.aio()
    results = [aio.wait.delay(job) for job in "abc"]
    for job in "abc":
        aio_lab.began(job)
    worker.kill()
    for job in "abc":
        aio_lab.open(job)
    aio_lab.aio()
    assert [got(result) for result in results] == ["a", "b", "c"]


def test_coroutines_outlive_a_restart_of_the_broker(aio_lab: AioLab) -> None:
    aio = aio_lab.on("lease+redis")
    worker = aio_lab.aio()
    result = aio.wait.delay("outlives")
    aio_lab.began("outlives")
    aio_lab.broker.restart()
    aio_lab.open("outlives")
    assert got(result) == "outlives"
    assert got(aio.add.delay(1, 1)) == 2
    assert not worker.ended


def test_a_task_that_calls_sys_exit_fails_and_the_worker_goes_on(aio_lab: AioLab) -> None:
    aio = aio_lab.on("redis")
    worker = aio_lab.aio()
    left = aio.leave.delay(3)
    aio_lab.eventually(left.ready)
    assert left.state == "FAILURE"
    assert got(aio.double.delay(2)) == 4
    assert not worker.ended


def test_a_coroutine_that_blocks_the_loop_is_named(aio_lab: AioLab) -> None:
    aio = aio_lab.on("redis")
    worker = aio_lab.aio()
    blocking = aio.block_the_loop.delay("blocks")
    aio_lab.began("blocks")
    aio_lab.eventually(lambda: f"by aio_app.block_the_loop[{blocking.id}]" in worker.output)
    assert "time.sleep(0.02)" in worker.output
    aio_lab.open("blocks")
    assert got(aio.add.delay(1, 1)) == 2


def test_on_rabbitmq(aio_lab: AioLab, rabbitmq: Any) -> None:
    aio = aio_lab.sample(AIO_BROKER=rabbitmq.url, AIO_RESULTS=aio_lab.broker.url)
    worker = aio_lab.aio("-c", "20")
    assert got(group(aio.own_ids.s() for _ in range(20)).apply_async())
    assert got(chain(aio.add.s(1, 2), aio.double.s()).apply_async()) == 6
    running = aio.wait.delay("running")
    aio_lab.began("running")
    worker.begin_stop()
    aio_lab.open("running")
    aio_lab.eventually(lambda: worker.ended)
    assert got(running) == "running"
