"""A broker that dies or falls silent under a worker: the worker lives, and nothing is stuck or lost."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from celery_impl.sidekiq.redis.deferred_acks import DeferredAcks


@pytest.fixture(autouse=True, params=["lease", "timeout"])
def _fetch(request: pytest.FixtureRequest, lab: Any) -> None:
    """Each test with leases and with kombu's own fetch."""
    lab.env["QUEUE_OR_TASK_FETCH"] = request.param


#: For what kombu's own fetch needs and leases do without.
TIMEOUT_ALONE = pytest.mark.parametrize("_fetch", ["timeout"], indirect=True)


def test_a_worker_and_its_job_outlive_the_broker(lab: Any) -> None:
    """Which connection a worker sees broken first once decided over its life: here, remote control's."""
    sample = lab.sample(QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S="2")
    worker = lab.worker()
    sample.note.delay("a", 4.0)
    lab.eventually(lambda: lab.runs("start", "a"))

    worker.pause()
    assert lab.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub") > 0
    lab.broker.kill()
    worker.resume()
    lab.eventually(lambda: worker.ended or "Trying again" in worker.output)
    assert not worker.ended
    lab.broker.restart()
    sample.note.delay("b")

    lab.eventually(lambda: lab.runs("done", "b"))
    assert not lab.runs("done", "a"), "else this shows nothing of a job that runs on"
    lab.eventually(lambda: lab.runs("done", "a"))
    lab.eventually(lambda: lab.redis.hlen("unacked") == 0)
    assert len(lab.runs("start", "a")) == 1


def test_a_worker_that_lost_all_its_processes_at_once_outlives_its_broker_too(lab: Any) -> None:
    """Celery takes the end of one for the end of the next one's successor, and trips over it later."""
    sample = lab.sample()
    worker = lab.worker()
    first = worker.children
    worker.pause()
    for child in first:
        os.kill(child, signal.SIGKILL)
    lab.eventually(lambda: all(") Z " in Path(f"/proc/{child}/stat").read_text() for child in first))
    worker.resume()
    lab.eventually(lambda: len(set(worker.children) - set(first)) == 2)

    lab.broker.kill()
    lab.broker.restart()
    sample.note.delay("a")

    lab.eventually(lambda: lab.runs("done", "a") or worker.ended)
    assert not worker.ended


def test_a_job_that_ends_while_the_broker_is_silent_keeps_no_place_in_the_worker(lab: Any) -> None:
    sample = lab.sample()
    worker = lab.worker("--concurrency", "1")
    sample.note.delay("a", 0.5)
    lab.eventually(lambda: lab.runs("start", "a"))

    lab.broker.pause()
    lab.eventually(lambda: lab.runs("done", "a"))
    if lab.env["QUEUE_OR_TASK_FETCH"] == "timeout":  # under a lease no acknowledgement is waited for
        lab.eventually(lambda: "told later" in worker.output or "Couldn't ack" in worker.output)
    lab.broker.resume()
    sample.note.delay("b")

    lab.eventually(lambda: lab.runs("done", "b"))
    lab.eventually(lambda: lab.redis.hlen("unacked") == 0)
    assert len(lab.runs("start", "a")) == 1


@TIMEOUT_ALONE
def test_a_message_that_was_fetched_but_not_noted_is_given_back_once(lab: Any) -> None:
    sample = lab.sample(QUEUE_OR_TASK_FETCH="timeout")
    app = sample.app
    with app.connection_for_write() as connection, app.connection_for_write() as later:
        channel: Any = connection.default_channel
        channel.deferred = DeferredAcks(set)
        sample.note.delay("a")
        sent = lab.redis.rpop("celery")
        message = channel.Message(json.loads(sent), channel=channel)

        lab.broker.kill()
        with pytest.raises(channel.connection_errors):
            channel.qos.append(message, message.delivery_tag)
        lab.broker.restart()
        for _ in range(2):
            channel.deferred.flush(later.default_channel)

        [given_back] = lab.redis.lrange("celery", 0, -1)
        assert json.loads(given_back)["body"] == json.loads(sent)["body"]


@TIMEOUT_ALONE
def test_an_acknowledgement_that_cannot_be_sent_is_kept_and_those_behind_it_wait() -> None:
    sent: list[str] = []
    away = [True]

    def first(_channel: object) -> None:
        if away[0]:
            raise ConnectionError
        sent.append("first")

    acks = DeferredAcks(set)
    acks.add(first)
    acks.add(lambda _channel: sent.append("second"))
    with pytest.raises(ConnectionError):
        acks.flush(None)
    assert sent == []

    away[0] = False
    acks.flush(None)
    assert sent == ["first", "second"]
