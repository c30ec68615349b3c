"""What `Sidekiq(app, buffer=…)` keeps while the broker is away, and what it says of what it lost."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.enqueue.buffer import Buffer, BufferedJob, BufferFullError
from celery_impl.sidekiq.redis.sets import SCHEDULE

HERE = Path(__file__).parent.parent.parent


@pytest.fixture(params=["{}", "lease+{}"], ids=["sidekiq", "lease"])
def url(request: pytest.FixtureRequest, lab: Any) -> str:
    return str(request.param.format(lab.broker.url))


def buffered(lab: Any, url: str, limit: int = 1000) -> Any:
    lab.app = "buffered_app"
    return lab.sample(REDIS_URL=url, BUFFER=str(limit))


def queued(lab: Any) -> list[str]:
    """The jobs in the queue by their first argument, oldest first."""
    found = [json.loads(text)["headers"] for text in lab.redis.lrange("celery", 0, -1)[::-1]]
    return [header["argsrepr"].strip("(,)'") for header in found]


def test_what_a_refusing_broker_did_not_take_is_sent_in_order_when_it_is_back(lab: Any, url: str) -> None:
    sample = buffered(lab, url)
    sample.note.delay("before")
    lab.broker.kill()

    sent = [sample.note.delay(str(number)).id for number in range(50)]
    lab.broker.restart()

    lab.eventually(lambda: len(queued(lab)) == 51)
    assert queued(lab) == ["before", *map(str, range(50))]
    ids = [json.loads(text)["headers"]["id"] for text in lab.redis.lrange("celery", 0, -1)[::-1]]
    assert ids[1:] == sent
    lab.eventually(lambda: not sample.note.sidekiq_buffer)


def test_while_the_broker_is_silent_the_order_stays_and_nothing_is_lost(lab: Any, url: str) -> None:
    """The first job may be there twice: the kernel may have had it when its time was over."""
    sample = buffered(lab, url)
    sample.note.delay("before")
    lab.broker.pause()

    for number in range(5):
        sample.note.delay(str(number))
    lab.broker.resume()

    lab.eventually(lambda: not sample.note.sidekiq_buffer)
    seen = queued(lab)
    assert list(dict.fromkeys(seen)) == ["before", *map(str, range(5))]
    assert all(seen.count(job) == 1 for job in "1234"), "these were never tried while the broker was silent"


def test_a_job_sent_while_others_are_kept_waits_behind_them(lab: Any, url: str) -> None:
    sample = buffered(lab, url)
    buffer = sample.note.sidekiq_buffer
    lab.broker.kill()
    sample.note.delay("first")
    with buffer._sending:  # the thread cannot overtake
        lab.broker.restart()
        sample.note.delay("second")
        assert len(buffer) == 2

    lab.eventually(lambda: queued(lab) == ["first", "second"])


def test_a_full_buffer_refuses_and_keeps_what_it_has(lab: Any, url: str) -> None:
    sample = buffered(lab, url, limit=2)
    lab.broker.kill()
    sample.note.delay("a")
    sample.note.delay("b")

    with pytest.raises(BufferFullError, match=r"full \(2 jobs\): buffered_app.note\('c'\)"):
        sample.note.delay("c")

    lab.broker.restart()
    lab.eventually(lambda: queued(lab) == ["a", "b"])


def test_waits_count_from_the_call_and_arguments_are_those_of_the_call(lab: Any, url: str) -> None:
    sample = buffered(lab, url)
    lab.broker.kill()
    before = datetime.now(UTC)
    values: dict[str, Any] = {"list": [1]}
    sample.note.apply_async(("later",), values, countdown=60, expires=90)
    values["list"].append(2)
    lab.broker.restart()

    [(text, due)] = lab.eventually(lambda: lab.redis.zrange(SCHEDULE, 0, -1, withscores=True))
    message = json.loads(text.split("\n", 2)[2])
    expires = datetime.fromisoformat(message["headers"]["expires"])
    assert before.timestamp() + 60 <= due <= before.timestamp() + 61
    assert before + timedelta(seconds=90) <= expires <= before + timedelta(seconds=91)
    assert message["headers"]["kwargsrepr"] == "{'list': [1]}"


def test_an_argument_that_cannot_be_sent_is_refused_at_the_call_though_the_broker_is_away(
    lab: Any, url: str
) -> None:
    sample = buffered(lab, url)
    lab.broker.kill()

    with pytest.raises(TypeError, match=r"args\[0\]"):
        sample.note.delay(object())

    assert not sample.note.sidekiq_buffer


def test_a_producer_of_the_callers_is_not_buffered(lab: Any, url: str) -> None:
    sample = buffered(lab, url)
    sample.note.delay("a")
    with sample.app.producer_or_acquire() as producer:
        lab.broker.kill()
        with pytest.raises(OperationalError):
            sample.note.apply_async(("b",), producer=producer)


PROGRAM = """
import os, signal, sys, threading
import buffered_app
note = buffered_app.note
note.delay("sent")
os.kill(int(sys.argv[1]), signal.SIGKILL)
note.delay("lost", password="hunter2")
note.delay("hidden too", "hunter2")
note.delay("with a key", key={"api_key": "hunter2", "id": 7})
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        sys.exit(len(note.sidekiq_buffer))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("end")
"""


@pytest.mark.parametrize("how", ["exit", "fork"])
def test_a_process_that_ends_names_what_it_lost_once_and_shows_no_secret(
    lab: Any, url: str, how: str
) -> None:
    buffered(lab, url)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, str(lab.broker.pid), how],
        env={**os.environ, **lab.env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lab.broker.restart()

    lost = [line for line in ran.stderr.splitlines() if "lost with this process" in line]
    assert (ran.returncode, ran.stdout) == (0, "end\n"), ran.stderr
    assert [line.partition("away: ")[2].rpartition(" [")[0] for line in lost] == [
        "buffered_app.note('lost', password=[hidden])",
        "buffered_app.note('hidden too', [hidden])",
        "buffered_app.note('with a key', key={'api_key': [hidden], 'id': 7})",
    ]
    assert "hunter2" not in ran.stderr


def test_a_process_that_ends_sends_what_it_still_can(lab: Any, url: str) -> None:
    sample = buffered(lab, url)
    buffer = sample.note.sidekiq_buffer
    lab.broker.kill()
    sample.note.delay("a")
    buffer._stopped.set()
    lab.broker.restart()

    assert buffer.close() == []
    assert queued(lab) == ["a"]


def test_what_can_never_be_sent_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[str] = []
    buffer = Buffer(3)
    buffer._stopped.set()  # no thread: the test flushes

    def broken() -> None:
        raise LookupError("no such queue")

    buffer.add(BufferedJob(broken, "broken()"))
    buffer.add(BufferedJob(lambda: sent.append("good"), "good()"))

    with caplog.at_level(logging.ERROR):
        assert buffer.flush()
    assert sent == ["good"]
    assert "broken() cannot be sent and is dropped" in caplog.text


def test_what_many_threads_send_meanwhile_is_all_there_in_the_end(lab: Any, url: str) -> None:
    sample = buffered(lab, url)
    lab.broker.kill()
    senders = [
        threading.Thread(target=lambda t=t: [sample.note.delay(f"{t}-{n}") for n in range(20)])
        for t in range(8)
    ]

    for sender in senders:
        sender.start()
    lab.broker.restart()
    for sender in senders:
        sender.join()

    lab.eventually(lambda: not sample.note.sidekiq_buffer)
    seen = queued(lab)
    assert sorted(seen) == sorted(f"{t}-{n}" for t in range(8) for n in range(20))


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "many"])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match="expected a whole number of jobs from 1"):
        Buffer(limit)
