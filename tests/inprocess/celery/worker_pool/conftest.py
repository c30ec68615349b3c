from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.world.broker import Broker
from tests.celery_impl.conftest import (  # noqa: F401 - fixtures
    Lab,
    Worker,
    _broker_at_hand,
    _server,
    broker,
    fork_server,
)
from tests.celery_impl.rabbit import _node, _rabbitmq_at_hand, rabbitmq  # noqa: F401 - fixtures
from tests.fork_server import ForkServer

APPS = Path(__file__).parent


class AioLab(Lab):
    """The app of `aio_app` on a transport, workers with `-P aio`, and what the jobs wrote."""

    app = "aio_app"
    apps = APPS

    def on(self, transport: str, **env: str) -> Any:
        """The app's module, on `redis` or, with `Sidekiq(app)`, on `lease+redis`."""
        url = self.broker.url
        if transport.startswith("lease"):
            env["AIO_SIDEKIQ"] = "1"
        return self.sample(AIO_BROKER=url.replace("redis", transport, 1), AIO_RESULTS=url, **env)

    def aio(self, *arguments: str) -> Worker:
        """A worker with the pool, which the app's settings name: `-P aio` needs our entry point."""
        return self.worker(*(arguments or ("-c", "10")))

    def open(self, job: str) -> None:
        """Let a job that waits for its file end."""
        (self.folder / f"go-{job}").touch()

    def began(self, job: str) -> None:
        """Wait until the job has begun."""
        self.eventually(lambda: self.runs("start", job))


@pytest.fixture
def _nothing_is_left_over() -> None:
    """In place of the check of `tests/inprocess`: what runs here are processes that the lab ends."""


@pytest.fixture
def aio_lab(
    tmp_path: Path,
    broker: Broker,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
    fork_server: ForkServer,  # noqa: F811 - a fixture
) -> Any:
    made = AioLab(tmp_path, broker, monkeypatch, fork_server)
    yield made
    made.close()
