"""What a run says where a part that it places on another host is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.plan.deployment import Deployment, DeploymentRequest
from bench.plan.sides import SIDES
from bench.run import host_discovery
from bench.world.broker import URL_VARIABLE, Broker

WORLD = "http://10.0.0.1:9000"


def test_a_side_without_a_worker_is_refused_with_the_command_that_starts_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_discovery, "WORKER_ANSWERS_S", 0.2)
    with Broker.start(tmp_path, env={"PATH": os.environ["PATH"]}) as broker:
        asked = DeploymentRequest(broker_url=broker.url, world_url=WORLD, workers=True)
        env = {**os.environ, URL_VARIABLE: broker.url}
        with pytest.raises(BenchError) as refused:
            host_discovery._check_worker(
                Deployment(workers=True, profile="quick"), asked, SIDES["celery-stock"], env
            )
    parts = f"--broker-url {broker.url} --world-url {WORLD}"
    command = f"queue-or-task worker --side celery-stock --profile quick {parts}"
    assert str(refused.value) == (
        "no worker of celery-stock answered within 0.2 s: start one on its host, with the same DATABASE_URL: "
        f"{command}"
    )
