"""Real workers on a real RabbitMQ: retries, verdicts, poison, kills, and what no task can run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import amqp
import pytest
from kombu.exceptions import OperationalError

from bench.world.rabbitmq import Node
from celery_impl.sidekiq.api import DeadSet


@pytest.fixture
def rabbit(rabbit_lab: Any) -> Any:
    return rabbit_lab.sample()


def test_a_job_is_retried_by_the_formula_through_delay_queues_and_then_dead(
    rabbit_lab: Any, rabbit: Any
) -> None:
    rabbit_lab.worker()
    sent = rabbit.fail.delay("a")

    [dead_job] = rabbit_lab.eventually(lambda: list(DeadSet(rabbit.app)))

    assert (dead_job.id, dead_job.task, dead_job.args, dead_job.queue) == (
        sent.id,
        "rabbit_app.fail",
        ["a"],
        "celery",
    )
    assert (dead_job.count, dead_job.error_class, dead_job.error_message) == (2, "ValueError", "a")
    assert (dead_job.failed_at or 0) < (dead_job.retried_at or 0) <= (dead_job.at or 0)
    assert rabbit_lab.runs("death", "a:ValueError:2")
    times = [at for _, at in rabbit_lab.runs("start", "a")]
    assert len(times) == 3
    # 0.15 s and a little of the scaled formula, rounded up to what the delay queues count.
    assert all(later - earlier >= 0.9 for earlier, later in pairwise(times))


def test_a_job_that_goes_through_the_same_delay_queues_again_and_again_is_not_dropped_as_a_cycle(
    rabbit_lab: Any, rabbit: Any
) -> None:
    rabbit_lab.worker()
    rabbit.fail_until_fifth.delay("a")
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "a"), within_s=60)
    assert len(rabbit_lab.runs("start", "a")) == 5
    assert DeadSet(rabbit.app).size() == 0


def test_an_error_kills_or_discards_its_job(rabbit_lab: Any, rabbit: Any) -> None:
    rabbit_lab.worker()
    rabbit.fail.delay("killed")
    rabbit.fail.delay("discarded")
    rabbit_lab.eventually(lambda: rabbit_lab.runs("death", "killed:KeyError:0"))
    rabbit_lab.eventually(lambda: rabbit_lab.runs("death", "discarded:ConnectionError:0"))
    assert [job.error_class for job in DeadSet(rabbit.app)] == ["KeyError"]


def test_a_retry_goes_back_to_the_queue_that_its_job_came_from(rabbit_lab: Any, rabbit: Any) -> None:
    rabbit_lab.worker("-Q", "celery,mails", "--concurrency", "2")
    rabbit.own_queue.apply_async(["a"], queue="mails")
    rabbit_lab.eventually(lambda: len(rabbit_lab.runs("start-mails", "a")) == 2)
    assert not rabbit_lab.runs("start-celery", "a")


def test_a_countdown_waits_in_the_broker_even_where_no_worker_ever_was(rabbit_lab: Any, rabbit: Any) -> None:
    rabbit_lab.eventually(lambda: sent(rabbit, "b", 3600))
    rabbit_lab.eventually(lambda: sent(rabbit, "a", 0.2))
    rabbit_lab.worker()
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "a"))
    assert not rabbit_lab.runs("start", "b")


def sent(rabbit: Any, job: str, countdown: float) -> bool:
    """On a broker without delay queues the first job may have to be sent twice."""
    try:
        rabbit.note.apply_async([job], countdown=countdown)
    except OperationalError:
        return False
    return True


def test_delay_queues_that_somebody_deleted_are_declared_anew(rabbit_lab: Any, rabbit: Any) -> None:
    rabbit_lab.eventually(lambda: sent(rabbit, "a", 60))
    with rabbit_lab.node.connect() as connection:
        for name in ("celery_delayed_27", "celery_delayed_delivery"):
            connection.channel().exchange_delete(name)
    with pytest.raises(OperationalError):
        rabbit.note.apply_async(["b"], countdown=1)
    rabbit_lab.eventually(lambda: sent(rabbit, "c", 1))
    rabbit_lab.worker()
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "c"))


@pytest.mark.timeout(300)  # two starts of a node, each of up to 80 s, and 60 s for the jobs
def test_what_was_accepted_survives_the_kill_of_the_broker(rabbit_lab: Any, rabbit: Any) -> None:
    jobs = [f"j{number}" for number in range(30)]
    worker = rabbit_lab.worker()
    rabbit_lab.eventually(lambda: sent(rabbit, "first", 0.2))
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "first"))
    rabbit_lab.node.restart_in_order()  # else the broker itself may lose a queue that is seconds old
    for job in jobs:
        rabbit_lab.eventually(lambda job=job: sent(rabbit, job, 2 if job in jobs[20:] else 0))
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", jobs[0]))
    rabbit_lab.node.kill()
    rabbit_lab.node.launch()
    rabbit_lab.eventually(lambda: all(rabbit_lab.runs("done", job) for job in jobs), within_s=60)
    assert not worker.ended
    assert DeadSet(rabbit.app).size() == 0


def test_a_job_that_kills_three_processes_is_dead(rabbit_lab: Any, rabbit: Any) -> None:
    worker = rabbit_lab.worker()
    rabbit.kill_own_process.delay("a")
    [dead_job] = rabbit_lab.eventually(lambda: list(DeadSet(rabbit.app)))
    assert (dead_job.error_class, dead_job.args) == ("WorkerLostError", ["a"])
    assert len(rabbit_lab.runs("start", "a")) == 3
    rabbit.note.delay("after")
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "after"))
    assert not worker.ended


def test_a_killed_worker_loses_no_job_and_one_that_kills_three_workers_is_dead_with_the_reason(
    rabbit_lab: Any, rabbit: Any
) -> None:
    jobs = [f"j{number}" for number in range(20)]
    first = rabbit_lab.worker()
    sent = rabbit.note.delay("poison", 60)
    rabbit_lab.eventually(lambda: rabbit_lab.runs("start", "poison"))
    for job in jobs:
        rabbit.note.delay(job)
    for deaths, worker in enumerate((first, rabbit_lab.worker(), rabbit_lab.worker()), start=1):
        rabbit_lab.eventually(lambda deaths=deaths: len(rabbit_lab.runs("start", "poison")) == deaths)
        if deaths < 3:
            worker.kill()
        else:
            for each in rabbit_lab._workers:
                each.kill()
    [dead_job] = rabbit_lab.eventually(lambda: list(DeadSet(rabbit.app)))
    rabbit_lab.worker()
    rabbit_lab.eventually(lambda: all(rabbit_lab.runs("done", job) for job in jobs))

    assert (dead_job.id, dead_job.args, dead_job.queue) == (sent.id, ["poison", 60], "celery")
    assert dead_job.error_class == "delivery_limit"
    assert "x-delivery-limit" in (dead_job.error_message or "")
    assert len(rabbit_lab.runs("start", "poison")) == 3


def test_what_no_task_can_run_goes_to_the_dead_set_with_its_reason_and_stops_no_worker(
    rabbit_lab: Any, rabbit: Any
) -> None:
    worker = rabbit_lab.worker()
    rabbit.app.send_task("gone.away", args=("a",), task_id="j1")
    with rabbit_lab.node.connect() as connection:
        channel = connection.channel()
        bad = (
            amqp.Message("no JSON {"),
            amqp.Message("[1]", content_type="application/json", content_encoding="utf-8"),
            amqp.Message(
                "{",
                content_type="application/json",
                application_headers={"id": "j2", "task": "rabbit_app.note"},
            ),
            amqp.Message(b"\xff\xfe", content_type="application/x-nobody", content_encoding="binary"),
        )
        for message in bad:
            channel.basic_publish(message, "", "celery", mandatory=True)
    rabbit.note.delay("after")
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "after"))
    dead = rabbit_lab.eventually(lambda: len(found := list(DeadSet(rabbit.app))) >= 5 and found)

    assert len(dead) == 5
    assert all(dead_job.error_message and dead_job.problem is None for dead_job in dead), dead
    [unknown] = [dead_job for dead_job in dead if dead_job.id == "j1"]
    assert (unknown.task, unknown.error_class) == ("gone.away", "NotRegistered")
    assert "deploy it, then retry" in (unknown.error_message or "")
    assert not worker.ended


def test_a_node_that_begins_anew_has_nothing_of_before(rabbitmq: Node) -> None:
    with rabbitmq.connect() as connection:
        connection.channel().queue_declare("mails", durable=True, auto_delete=False)
    rabbitmq.begin_anew()
    with rabbitmq.connect() as connection, pytest.raises(amqp.NotFound):
        connection.channel().queue_declare("mails", passive=True)
