from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.world.broker import Broker
from tests.celery_impl.conftest import PATIENCE_S, Lab, Worker
from tests.fork_server import ForkServer


class SwarmLab(Lab):
    """The app of `swarm_app`, workers with `-P swarm`, and what the jobs wrote."""

    app = "swarm_app"
    apps = Path(__file__).parent

    def on(self, **env: str) -> Any:
        """The app's module, on `lease+redis`."""
        url = self.broker.url
        return self.sample(SWARM_BROKER=f"lease+{url}", SWARM_RESULTS=url, **env)

    def swarm(self, *arguments: str) -> Worker:
        """A worker with the pool, of two children where no arguments say otherwise."""
        return self.worker("-P", "swarm", *(arguments or ("-c", "2")))

    def open(self, job: str) -> None:
        """Let a job that waits for its file end."""
        (self.folder / f"go-{job}").touch()

    def began(self, job: str, times: int = 1) -> int:
        """Wait until the job has begun so many times; return the process id of the last run."""
        return int(self.eventually(lambda: len(runs := self.runs("start", job)) >= times and runs)[-1][0])

    def done(self, *jobs: str) -> None:
        """Wait until all of the jobs are done."""
        self.eventually(lambda: all(self.runs("done", job) for job in jobs))

    def ended(self, worker: Worker) -> int | None:
        """Wait until the worker has ended; return its exit code."""
        self.eventually(lambda: worker.ended)
        return worker.exit_code

    def ask(self, command: str, app: Any, *arguments: Any, **options: Any) -> Any:
        """The answer of the one worker to a command of `inspect`, or of `control`."""
        inspect = app.control.inspect(timeout=PATIENCE_S, limit=1)
        if hasattr(inspect, command) and not hasattr(app.control, command):
            answers = getattr(inspect, command)(*arguments)
            return next(iter(answers.values()))
        [answer] = getattr(app.control, command)(
            *arguments, reply=True, timeout=PATIENCE_S, limit=1, **options
        )
        return next(iter(answer.values()))

    def held(self) -> int:
        """How many jobs the workers hold at the broker."""
        return sum(self.redis.hlen(key) for key in self.redis.scan_iter("sidekiq:lease:held:*"))


@pytest.fixture
def swarm_lab(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch, fork_server: ForkServer
) -> Iterator[SwarmLab]:
    made = SwarmLab(tmp_path, broker, monkeypatch, fork_server)
    yield made
    made.close()
