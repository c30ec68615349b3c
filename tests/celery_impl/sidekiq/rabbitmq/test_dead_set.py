"""The dead set on RabbitMQ: looked at and acted on by the same API, also by several at once."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import amqp
import pytest
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.api import DeadSet, UnreadableError
from celery_impl.sidekiq.jobs.entry_format import DeadJob
from celery_impl.sidekiq.rabbitmq import RabbitMQError, dead_messages, dead_set
from celery_impl.sidekiq.rabbitmq.envelope import Envelope
from celery_impl.sidekiq.rabbitmq.queues import DEAD
from celery_impl.sidekiq.redis.sets import DEAD_AGE_S


@pytest.fixture
def rabbit(rabbit_lab: Any) -> Any:
    return rabbit_lab.sample()


@pytest.fixture
def dead(rabbit: Any) -> DeadSet:
    return DeadSet(rabbit.app)


def bury(rabbit: Any, *jobs: str, at: float | None = None, queue: str = "celery") -> None:
    """Bury jobs of `note` as a worker does, the first one first."""
    with rabbit.app.producer_or_acquire() as producer:
        for job in jobs:
            with producer.channel.captured() as caught:
                rabbit.note.apply_async([job], producer=producer, task_id=job)
            now = time.time() if at is None else at
            producer.channel.sets.bury(
                DeadJob(
                    id=job,
                    task=rabbit.note.name,
                    args=[job],
                    kwargs={},
                    queue=queue,
                    retries=3,
                    error_class="ValueError",
                    error_message="no",
                    failed_at=now - 5,
                    retried_at=now,
                    buried_at=now,
                    message=caught[0][1],
                )
            )


def queued(rabbit: Any) -> int:
    with rabbit.app.connection_for_write() as connection:
        return int(connection.default_channel.queue_declare("celery", passive=True).message_count)


def test_an_app_on_rabbitmq_gets_its_own_dead_set_by_the_same_name(dead: DeadSet) -> None:
    assert type(dead) is dead_set.RabbitDeadSet
    assert (dead.size(), len(dead), list(dead), dead.latency()) == (0, 0, [], 0.0)


def test_jobs_are_seen_newest_first_with_all_that_is_known_and_stay(rabbit: Any, dead: DeadSet) -> None:
    bury(rabbit, "a", "b", "c")

    first, second = list(dead), list(dead)

    assert [job.id for job in first] == ["c", "b", "a"]
    assert first == second
    assert (dead.size(), len(dead)) == (3, 3)
    job = first[0]
    assert (job.task, job.args, job.kwargs, job.queue) == ("rabbit_app.note", ["c"], {}, "celery")
    assert (job.count, job.error_class, job.error_message) == (3, "ValueError", "no")
    assert (job.failed_at or 0) < (job.retried_at or 0) == job.at
    assert json.dumps(job.summary())
    assert dead.find("b") == first[1]
    assert dead.find("z") is None
    assert 0 < dead.latency() < 60


def test_a_job_that_is_retried_runs_and_a_second_retry_moves_nothing(
    rabbit_lab: Any, rabbit: Any, dead: DeadSet
) -> None:
    bury(rabbit, "a", "b", "c")
    job = dead.find("b")
    assert job is not None

    assert (dead.retry(job), dead.retry(job)) == (1, 0)
    assert [left.id for left in dead] == ["c", "a"]

    rabbit_lab.worker()
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "b"))
    assert len(rabbit_lab.runs("start", "b")) == 1


def test_jobs_are_deleted_one_by_one_and_all_at_once(rabbit: Any, dead: DeadSet) -> None:
    bury(rabbit, *"abcde")
    two = [job for job in dead if job.id in "bd"]
    assert (dead.delete(*two), dead.delete(*two)) == (2, 0)
    assert [job.id for job in dead] == ["e", "c", "a"]
    assert dead.delete() == 0
    assert dead.kill(*dead) == 0
    assert (dead.clear(), dead.clear(), dead.size()) == (3, 0, 0)
    assert queued(rabbit) == 0


def test_all_that_can_be_read_are_retried_in_their_order(rabbit: Any, dead: DeadSet) -> None:
    bury(rabbit, *"abc")
    with rabbit.app.connection_for_write() as connection:
        connection.default_channel.basic_publish(amqp.Message("?", correlation_id="x"), "", DEAD)

    assert dead.retry_all() == 3

    [stranger] = dead
    assert stranger.problem is not None
    with rabbit.app.connection_for_write() as connection:
        channel = connection.default_channel
        taken = [channel.basic_get("celery", no_ack=True) for _ in range(3)]
    assert sorted(message.headers["id"] for message in taken) == ["a", "b", "c"]
    assert all(message.headers["expires"] is None for message in taken)
    assert not any(dead_messages.HEADER in message.headers for message in taken)


def test_what_cannot_be_read_is_shown_with_its_problem_kept_and_can_be_deleted(
    rabbit: Any, dead: DeadSet
) -> None:
    headers = {"id": "j1", "task": "t", dead_messages.HEADER: json.dumps({"v": 99})}
    others = (
        {"id": "j2", dead_messages.HEADER: "{"},
        {"id": "j3", dead_messages.HEADER: '{"v": 1}'},
        {"x-death": "?"},
    )
    with rabbit.app.connection_for_write() as connection:
        dead_messages.declare(connection.default_channel)
        for each in (headers, *others):
            connection.default_channel.basic_publish(amqp.Message("", application_headers=each), "", DEAD)

    newest_first = list(dead)
    newer = newest_first[-1]
    assert newer.problem == "written by version 99 of the sets, and this program knows 1: upgrade"
    assert all(job.problem for job in newest_first)
    assert len({job.id for job in newest_first}) == 4
    with pytest.raises(UnreadableError, match="j1 cannot be read"):
        dead.retry(newer)
    assert dead.size() == 4
    assert dead.delete(*newest_first) == 4


def test_a_job_whose_queue_is_gone_stays_dead_and_its_retry_says_why(rabbit: Any, dead: DeadSet) -> None:
    bury(rabbit, "a", queue="gone")
    with pytest.raises(RabbitMQError, match="queue 'gone' of job a is gone: start a worker"):
        dead.retry(*dead)
    assert [job.id for job in dead] == ["a"]


def test_of_several_who_act_at_once_one_moves_each_job(rabbit: Any, dead: DeadSet) -> None:
    jobs = [str(number) for number in range(20)]
    bury(rabbit, *jobs)
    found, moved = list(dead), list[int]()
    acts = [dead.retry, dead.delete, dead.retry, dead.delete]
    threads = [threading.Thread(target=lambda act=act: moved.append(act(*found))) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moved) == [0, 0, 0, 20]
    assert dead.size() == 0


def test_one_who_looks_for_too_long_makes_others_fail_and_not_hang(
    dead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_set, "PATIENCE_S", 0.2)
    with dead._locked(), pytest.raises(OperationalError, match="somebody else looks"):
        dead.size()
    assert dead.size() == 0


def test_one_who_dies_while_looking_leaves_all_in_order_and_his_mark_is_dropped(
    rabbit_lab: Any, rabbit: Any, dead: DeadSet
) -> None:
    bury(rabbit, *"abc")
    with rabbit_lab.node.connect() as connection:
        channel = connection.channel()
        mark = amqp.Message("", type=dead_set.MARK, message_id="dead", delivery_mode=2)
        channel.basic_publish(mark, "", DEAD)
        channel.basic_qos(0, 100, a_global=False)
        taken: list[amqp.Message] = []
        channel.basic_consume(DEAD, callback=taken.append)
        while len(taken) < 4:
            connection.drain_events(timeout=10)
        connection.collect()
    rabbit_lab.eventually(lambda: [job.id for job in dead] == ["c", "b", "a"])
    assert dead.size() == 3


def test_the_set_keeps_its_newest_however_often_it_is_looked_at(
    rabbit: Any, dead: DeadSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(dead_messages.ARGUMENTS, "x-max-length", 4)
    bury(rabbit, *"abcde")
    looks = [[job.id for job in dead] for _ in range(30)]
    assert looks[-1] == ["e", "d", "c"]


def test_a_job_of_more_than_180_days_goes_at_a_look(rabbit: Any) -> None:
    bury(rabbit, "old", at=1000.0)
    bury(rabbit, "new", at=2000.0)
    later = DeadSet(rabbit.app, clock=lambda: 1001.0 + DEAD_AGE_S)
    assert [job.id for job in later] == ["new"]
    assert later.size() == 1


def test_a_set_that_somebody_declared_otherwise_is_not_touched(rabbit_lab: Any, dead: DeadSet) -> None:
    with rabbit_lab.node.connect() as connection:
        connection.channel().queue_declare(DEAD, durable=True, auto_delete=False)
    with pytest.raises(amqp.PreconditionFailed):
        dead.size()


def test_a_broker_that_falls_silent_is_kombus_error_and_no_hang(
    rabbit_lab: Any, rabbit: Any, dead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(rabbit, "a")
    monkeypatch.setattr(dead_set, "SILENCE_S", 0.5)
    monkeypatch.setattr(dead_set, "PATIENCE_S", 0.5)
    try:
        with dead._locked() as channel:
            rabbit_lab.node.pause()
            with pytest.raises((OSError, amqp.RecoverableConnectionError)):
                dead._taken(channel)
        with pytest.raises(OperationalError):
            dead.size()
    finally:
        rabbit_lab.node.resume()
    monkeypatch.undo()
    assert [job.id for job in dead] == ["a"]


def test_an_envelope_gives_back_any_body_and_headers() -> None:
    for body in ("text", b"\xff\x00", "", "[[], {}, {}]"):
        raw = body.encode() if isinstance(body, str) else body
        properties = {"application_headers": {"n": 1, "t": "x"}, "priority": 3, "expiration": "5"}
        again = Envelope.loads(Envelope(body, properties).dumps())
        assert (again.body, again.properties) == (raw, properties)
        assert "expiration" not in again.message({}).properties


def cli(rabbit_lab: Any, *arguments: str) -> Any:
    return rabbit_lab.celery("-A", "rabbit_app", "sidekiq", *arguments)


def test_the_commands_look_and_act_on_the_dead_set_and_refuse_the_rest_by_one_line(
    rabbit_lab: Any, rabbit: Any
) -> None:
    bury(rabbit, *"abc")
    shown = json.loads(cli(rabbit_lab, "dead", "--json").stdout)
    assert [job["id"] for job in shown["jobs"]] == ["c", "b", "a"]
    assert cli(rabbit_lab, "retry", "b").stdout == "queued 1 job\n"
    assert cli(rabbit_lab, "delete", "--all", "dead", "--yes").stdout == "deleted 2 jobs\n"
    refused = cli(rabbit_lab, "retries")
    assert (refused.returncode, refused.stderr.count("\n")) == (os.EX_CONFIG, 1)
    assert refused.stderr.startswith("sidekiq: RetrySet does not work on RabbitMQ: retries wait")


def test_a_broker_that_is_away_is_kombus_error(rabbit_lab: Any, dead: DeadSet) -> None:
    rabbit_lab.node.kill()
    with pytest.raises(OperationalError):
        dead.size()
