"""The lab of `conftest`, but on RabbitMQ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.world.rabbitmq import Node
from tests.celery_impl.conftest import HERE, ROOT, Lab, Worker
from tests.fork_server import ForkServer


class RabbitLab(Lab):
    """A node, the app of `rabbit_app`, workers, and what the jobs wrote."""

    app = "rabbit_app"

    def __init__(self, folder: Path, node: Node, monkeypatch: pytest.MonkeyPatch, server: ForkServer) -> None:
        self.folder = folder
        self._server = server
        self.node = node
        self.env = {
            "AMQP_URL": node.url,
            "PYTHONPATH": f"{ROOT}:{HERE}",
            "SAMPLE_LOG": str(folder / "runs"),
        }
        self._monkeypatch = monkeypatch
        self._workers: list[Worker] = []
        self._samples: list[Any] = []

    def close(self) -> None:
        """End the workers; the node stays."""
        for worker in self._workers:
            worker.kill()
