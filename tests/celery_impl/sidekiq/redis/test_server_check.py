from __future__ import annotations

import logging
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from bench.world.broker import Broker, server_binary
from celery_impl.sidekiq import Sidekiq, SidekiqError
from celery_impl.sidekiq.redis.server_check import UnfitServerError, check_server, findings

SAFE = {"redis_mode": "standalone", "aof_enabled": 1, "maxmemory_policy": "noeviction"}


def test_a_server_that_keeps_all_is_worth_no_line() -> None:
    assert list(findings(SAFE, "")) == []


@pytest.mark.parametrize(
    ("changed", "save", "level", "setting"),
    [
        ({"aof_enabled": 0}, "", logging.WARNING, "appendonly yes"),
        ({"aof_enabled": 0}, "3600 1", logging.INFO, "appendonly yes"),
        ({"maxmemory_policy": "allkeys-lru"}, "", logging.WARNING, "maxmemory-policy noeviction"),
    ],
)
def test_a_server_that_may_lose_jobs_is_told_with_the_setting(
    changed: dict[str, Any], save: str, level: int, setting: str
) -> None:
    [(found, text)] = findings({**SAFE, **changed}, save)
    assert found == level
    assert setting in text


def test_a_server_that_does_not_tell_its_settings_is_not_warned_of() -> None:
    assert list(findings({**SAFE, "aof_enabled": 0}, None)) == []


@pytest.mark.parametrize("mark", [{"redis_mode": "cluster"}, {"cluster_enabled": 1}])
def test_a_cluster_is_refused(mark: dict[str, Any]) -> None:
    with pytest.raises(UnfitServerError, match="Redis Cluster"):
        list(findings({**SAFE, **mark}, ""))


@pytest.mark.parametrize("url", ["redis+cluster://h/0", "rediss+cluster://h/0", "rediscluster://h"])
def test_a_cluster_url_is_refused_with_one_line(url: str) -> None:
    with pytest.raises(SidekiqError, match=r"^the broker is a Redis Cluster.*use one Redis server.*$"):
        Sidekiq(Celery(broker=url))


def test_the_real_server_is_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Broker.start(tmp_path, persistence=False, env={}) as broker:
        client = redis.Redis.from_url(broker.url)
        client.config_set("maxmemory-policy", "allkeys-lfu")
        app = Celery(broker=broker.url)
        Sidekiq(app)
        check_server(app)
        client.close()
    assert "this broker keeps nothing" in caplog.text
    assert "now it is allkeys-lfu" in caplog.text


def test_a_worker_says_so_once_at_its_start(lab: Any) -> None:
    lab.redis.config_set("maxmemory-policy", "volatile-ttl")
    try:
        lab.sample()
        worker = lab.worker()
        assert worker.output.count("set `maxmemory-policy noeviction`") == 1
    finally:
        lab.redis.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def cluster_url(tmp_path: Path, _broker_at_hand: None) -> Iterator[str]:
    with socket.socket() as probe, socket.socket() as other:
        for free in (probe, other):
            free.bind(("127.0.0.1", 0))
        port, bus = (int(free.getsockname()[1]) for free in (probe, other))
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    cluster = ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
    process = subprocess.Popen(
        [server_binary(), *options, *cluster], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        said = next((line for line in process.stdout if "Ready to accept" in line or "rror" in line), "ended")
        assert "Ready to accept" in said, said
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.communicate()


def test_a_worker_does_not_start_on_a_node_of_a_cluster(lab: Any, cluster_url: str) -> None:
    lab.env["REDIS_URL"] = cluster_url
    lab.sample()
    worker = lab.start("--concurrency", "1")
    lab.eventually(lambda: worker.ended)
    assert "a node of a Redis Cluster" in worker.output
    assert "Traceback" not in worker.output
    assert worker.exit_code == os.EX_CONFIG
