"""`celery worker -P swarm` on a real broker: one node, whose children fetch, run and acknowledge."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import celery
import kombu
import pytest
from celery import chain
from celery.exceptions import TaskRevokedError, TimeLimitExceeded

from celery_impl.sidekiq.worker.request import POISON_DEATHS
from tests.celery_impl.conftest import PATIENCE_S
from tests.celery_impl.sidekiq.swarm.conftest import SwarmLab

JOBS = [f"job{number}" for number in range(6)]


def got(result: Any) -> Any:
    return result.get(timeout=PATIENCE_S)


def arguments(jobs: list[dict[str, Any]]) -> set[str]:
    return {job["args"][0] for job in jobs}


def test_results_canvas_and_signals_are_those_of_one_worker(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    worker = swarm_lab.swarm()
    assert got(chain(swarm.add.s(1, 2), swarm.add.s(3)).apply_async()) == 6
    children = worker.children
    assert len(children) == 2
    worker.terminate()
    assert worker.exit_code == 0
    assert len(swarm_lab.runs("signal", "worker_ready")) == 1
    for name in ("worker_process_init", "worker_process_shutdown"):
        assert {pid for pid, _ in swarm_lab.runs("signal", name)} == set(children)


def test_inspect_shows_what_all_children_run_hold_and_have_done(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on(SWARM_MULTIPLIER="2")
    running = [swarm.wait.delay("a")]
    waiting = [swarm.note.delay("c")]
    running.append(swarm.wait_acknowledged.delay("b"))
    waiting.append(swarm.note.delay("d"))
    waiting.append(swarm.note.delay("in the queue"))  # or what is held would go back to who is idle
    swarm_lab.swarm()
    pids = {swarm_lab.began("a"), swarm_lab.began("b")}
    swarm_lab.eventually(lambda: swarm_lab.held() == 3)

    active = swarm_lab.ask("active", swarm.app)
    assert {job["id"] for job in active} == {job.id for job in running}
    assert {job["worker_pid"] for job in active} == pids
    assert arguments(swarm_lab.ask("reserved", swarm.app)) == {"c", "d"}
    assert swarm_lab.ask("query_task", swarm.app, [running[0].id])[running[0].id][0] == "active"
    stats = swarm_lab.ask("stats", swarm.app)
    assert stats["total"] == {"swarm_app.wait": 1, "swarm_app.wait_acknowledged": 1}
    assert set(stats["pool"]["processes"]) == pids

    swarm_lab.open("a")
    swarm_lab.open("b")
    assert [got(job) for job in waiting] == [None] * 3


def test_a_killed_child_is_replaced_its_job_runs_again_and_the_rest_goes_back_unmarked(
    swarm_lab: SwarmLab,
) -> None:
    swarm = swarm_lab.on(SWARM_MULTIPLIER="3")
    for job in ("a", "b", "c"):
        swarm.wait.delay(job)
    worker = swarm_lab.swarm("-c", "1")
    child = swarm_lab.began("a")
    swarm_lab.eventually(lambda: swarm_lab.held() == 3)
    os.kill(child, signal.SIGKILL)
    for job in ("a", "b", "c"):
        swarm_lab.open(job)
    swarm_lab.done("a", "b", "c")
    assert [len(swarm_lab.runs("start", job)) for job in ("a", "b", "c")] == [2, 1, 1]
    assert child not in worker.children


def test_a_job_that_kills_three_processes_goes_to_the_dead_set(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    swarm_lab.swarm()
    swarm.kill_own_process.delay("poison")
    swarm_lab.eventually(swarm_lab.sets.dead_jobs)
    assert len(swarm_lab.runs("start", "poison")) == POISON_DEATHS
    assert got(swarm.add.delay(1, 2)) == 3


def test_time_limits_interrupt_a_job_and_end_its_process(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    worker = swarm_lab.swarm()
    hard = swarm.hard_limit.delay("hard")
    assert got(swarm.soft_limit.delay()) == "SoftTimeLimitExceeded"
    with pytest.raises(TimeLimitExceeded):
        got(hard)
    swarm_lab.eventually(swarm_lab.sets.dead_jobs)
    swarm_lab.eventually(lambda: not swarm_lab.held())
    assert len(swarm_lab.runs("start", "hard")) == 1
    assert "Hard time limit" in worker.output
    assert "Soft time limit" in worker.output


def test_a_running_job_is_terminated_and_a_waiting_one_revoked(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on(SWARM_MULTIPLIER="2")
    running, waiting = swarm.wait.delay("running"), swarm.note.delay("waiting")
    swarm_lab.swarm("-c", "1")
    swarm_lab.began("running")
    swarm_lab.eventually(lambda: swarm_lab.held() == 2)
    swarm_lab.ask("revoke", swarm.app, [waiting.id])
    swarm_lab.ask("revoke", swarm.app, [running.id], terminate=True)
    for job in (running, waiting):
        with pytest.raises(TaskRevokedError):
            got(job)
    assert got(swarm.add.delay(1, 2)) == 3
    assert swarm_lab.runs("ended", "running")
    assert not swarm_lab.runs("start", "waiting")
    assert len(swarm_lab.runs("start", "running")) == 1


def test_a_warm_shutdown_finishes_what_runs_and_gives_back_the_rest(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on(SWARM_MULTIPLIER="2")
    worker = swarm_lab.swarm()
    for job in JOBS:
        swarm.note.delay(job, 0.5)
    swarm_lab.began("job0")
    swarm_lab.began("job1")
    worker.terminate_group()
    begun = [job for job in JOBS if swarm_lab.runs("start", job)]
    assert worker.exit_code == 0
    assert begun == [job for job in JOBS if swarm_lab.runs("done", job)]
    assert swarm_lab.redis.llen("celery") == len(JOBS) - len(begun)
    assert not any('redelivered": true' in text for text in swarm_lab.redis.lrange("celery", 0, -1))
    assert not swarm_lab.held()


def test_a_cold_shutdown_ends_what_runs_and_gives_back_everything(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    worker = swarm_lab.swarm()
    swarm.wait.delay("a")
    child = swarm_lab.began("a")
    worker.quit()
    swarm_lab.ended(worker)
    assert not swarm_lab.runs("done", "a")
    assert swarm_lab.redis.llen("celery") == 1
    assert not swarm_lab.held()
    assert not Path(f"/proc/{child}").exists()


def test_children_whose_worker_was_killed_finish_their_jobs_and_end(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    worker = swarm_lab.swarm("-c", "1")
    swarm.wait.delay("a")
    child = swarm_lab.began("a")
    worker.kill_main()
    swarm_lab.open("a")
    swarm_lab.eventually(lambda: not Path(f"/proc/{child}").exists())
    assert len(swarm_lab.runs("done", "a")) == 1
    assert not swarm_lab.held()


def test_a_job_that_holds_the_interpreter_keeps_its_lease(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    swarm_lab.swarm()
    swarm.hold_interpreter.delay("a", 3)
    swarm_lab.done("a")
    assert len(swarm_lab.runs("start", "a")) == 1


def test_a_rate_limit_holds_for_the_worker_and_can_be_changed(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on(SWARM_MULTIPLIER="4")
    swarm_lab.swarm()
    for job in JOBS[:4]:
        swarm.limited.delay(job)
    swarm_lab.done(*JOBS[:4])
    times = sorted(swarm_lab.runs("done", job)[0][1] for job in JOBS[:4])
    assert times[-1] - times[0] > 1.2
    swarm_lab.ask("rate_limit", swarm.app, "swarm_app.limited", "1000/s")
    swarm.limited.delay("after")
    swarm_lab.done("after")


def test_the_pool_grows_shrinks_and_restarts(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    worker = swarm_lab.swarm("-c", "1")
    swarm.wait.delay("a")
    first = swarm_lab.began("a")
    swarm_lab.ask("pool_grow", swarm.app, 1)
    assert got(swarm.add.delay(1, 2)) == 3
    swarm_lab.eventually(lambda: arguments(swarm_lab.ask("active", swarm.app)) == {"a"})
    swarm_lab.ask("pool_shrink", swarm.app, 1)
    swarm_lab.eventually(lambda: worker.children == [first])
    swarm_lab.ask("pool_restart", swarm.app)
    swarm_lab.open("a")
    swarm_lab.eventually(lambda: first not in worker.children)
    assert got(swarm.add.delay(3, 4)) == 7


def test_the_autoscaler_forks_for_what_waits_within_its_bounds(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    worker = swarm_lab.swarm("--autoscale", "3,1")
    assert len(worker.children) == 1
    for job in ("a", "b"):
        swarm.wait.delay(job)
    swarm_lab.began("a")
    swarm_lab.began("b")
    swarm_lab.open("a")
    swarm_lab.open("b")
    swarm_lab.ask("autoscale", swarm.app, 1, 1)
    swarm_lab.eventually(lambda: len(worker.children) == 1)
    assert got(swarm.add.delay(1, 2)) == 3


def test_a_child_ends_after_its_last_job_and_another_takes_its_place(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on(SWARM_MULTIPLIER="3")
    swarm_lab.swarm("-c", "1", "--max-tasks-per-child", "2")
    for job in JOBS:
        swarm.note.delay(job)
    swarm_lab.done(*JOBS)
    pids = [swarm_lab.runs("done", job)[0][0] for job in JOBS]
    assert [len(swarm_lab.runs("start", job)) for job in JOBS] == [1] * len(JOBS)
    assert len(set(pids)) == 3


def test_a_worker_whose_children_cannot_begin_ends(swarm_lab: SwarmLab) -> None:
    swarm_lab.on(SWARM_BROKEN="1")
    worker = swarm_lab.start("-P", "swarm", "-c", "1")
    assert swarm_lab.ended(worker) not in (0, None)
    assert "before they fetched a job" in worker.output


def test_without_the_lease_it_is_refused_in_one_line(swarm_lab: SwarmLab) -> None:
    swarm_lab.on()
    swarm_lab.env["SWARM_BROKER"] = swarm_lab.broker.url
    worker = swarm_lab.start("-P", "swarm")
    assert swarm_lab.ended(worker) == 1
    assert "Error: -P swarm needs Sidekiq(app) and the lease" in worker.output


def test_children_find_a_broker_again_that_was_away(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    swarm_lab.swarm()
    swarm.wait.apply_async(("a",), ignore_result=True)
    swarm_lab.began("a")
    swarm_lab.broker.kill()
    swarm_lab.open("a")
    swarm_lab.broker.restart()
    swarm_lab.done("a")
    swarm.note.apply_async(("b",), ignore_result=True)
    swarm_lab.done("b")
    assert len(swarm_lab.runs("start", "a")) == 1


def test_commands_that_change_something_reach_the_children(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    swarm_lab.swarm()
    swarm_lab.ask("time_limit", swarm.app, "swarm_app.wait", soft=None, hard=1)
    hard = swarm.wait.delay("limited")
    swarm_lab.ask("add_consumer", swarm.app, "other")
    assert got(swarm.add.apply_async((1, 2), queue="other")) == 3
    assert {queue["name"] for queue in swarm_lab.ask("active_queues", swarm.app)} == {"celery", "other"}
    with pytest.raises(TimeLimitExceeded):
        got(hard)


def test_task_events_come_from_one_node_while_the_job_still_runs(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    seen: list[dict[str, Any]] = []
    with swarm.app.connection_for_read() as connection, connection.channel() as channel:
        receiver = swarm.app.events.Receiver(channel, handlers={"*": seen.append})
        [consumer] = receiver.get_consumers(partial(kombu.Consumer, channel), channel)
        with consumer:
            while not swarm_lab.redis.pubsub_numpat():  # kombu subscribes when it first reads
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
            swarm_lab.swarm("-c", "2", "-E")
            swarm.wait.delay("a")
            while "task-started" not in {event["type"] for event in seen}:
                connection.drain_events(timeout=PATIENCE_S)
    assert {event["hostname"].partition("@")[0] for event in seen if "worker" not in event["type"]} == {
        "worker0"
    }
    assert not swarm_lab.runs("done", "a")
    swarm_lab.open("a")
    swarm_lab.done("a")


@pytest.mark.skipif(celery.VERSION < (5, 5), reason="Celery before 5.5 has no soft shutdown")
def test_a_soft_shutdown_lets_a_short_job_end_and_no_other_begin(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on(SWARM_SOFT_S="1")
    for job in ("a", "b", "c"):
        swarm.wait.delay(job)
    worker = swarm_lab.swarm()
    swarm_lab.began("a")
    swarm_lab.began("b")
    worker.quit()
    swarm_lab.eventually(lambda: "Initiating Soft Shutdown" in worker.output)
    swarm_lab.open("a")
    swarm_lab.ended(worker)
    assert swarm_lab.runs("done", "a")
    assert not swarm_lab.runs("done", "b")
    assert not swarm_lab.runs("start", "c")
    assert swarm_lab.redis.llen("celery") == 2


def test_what_was_revoked_outlives_the_worker_in_its_state_file(swarm_lab: SwarmLab) -> None:
    swarm = swarm_lab.on()
    options = ("-c", "1", "--statedb", str(swarm_lab.folder / "state"))
    first = swarm_lab.swarm(*options)
    swarm_lab.ask("revoke", swarm.app, ["0000"])
    first.terminate()
    swarm_lab.swarm(*options)
    swarm.note.apply_async(("a",), task_id="0000")
    assert got(swarm.add.delay(1, 2)) == 3
    assert not swarm_lab.runs("start", "a")
