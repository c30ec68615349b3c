"""A stand: one side with all its real processes, and a caller of its build."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.world.broker import Broker, BrokerError

DRIVER = Path(__file__).parent / "driver.py"
_numbers = itertools.count()


class Stand:
    """A side with its world, broker, worker and beat, for the tests of a module."""

    def __init__(self, lab: Any, side: str) -> None:
        self.lab = lab
        self.side = side

    @property
    def retries(self) -> bool:
        """Whether the side keeps the contract's promise of a retry: Celery's defaults do not."""
        return self.side != "celery-stock"


class Caller:
    """Calls the contract in the driver's process; see driver.py."""

    def __init__(self, stand: Stand, mode: str) -> None:
        self.stand = stand
        self.lab = stand.lab
        self._process = subprocess.Popen(
            [sys.executable, str(DRIVER), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.lab.env,
            text=True,
        )

    def tell(self, call: str, argument: Any) -> dict[str, Any]:
        """Make a call; its value or error, and when it came back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": call, "argument": argument}) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def __call__(self, call: str, argument: Any) -> Any:
        """Make a call that succeeds; its value."""
        told = self.tell(call, argument)
        assert "error" not in told, told
        return told["value"]

    def happened(self, name: str, job: str) -> list[int]:
        """When the event came about for the job, oldest first."""
        return [event["t"] for event in self.lab.events(name, job=job)]

    def close(self) -> None:
        """End the driver, which drains its build."""
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@pytest.fixture(scope="module", params=["inprocess", "inprocess-journal", "celery-hardened", "celery-stock"])
def stand(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, open_lab: Callable[[Path], Any]
) -> Iterator[Stand]:
    with open_lab(tmp_path_factory.mktemp(request.param)) as lab:
        lab.env |= {"QUEUE_OR_TASK_SIDE": request.param, "SIDEKIQ_RETRY_SCALE": "0.02"}
        lab.start_world("--latency-ms", "5")
        if request.param.startswith("inprocess"):
            yield Stand(lab, request.param)
            return
        lab.env["QUEUE_OR_TASK_PROFILE"] = request.param.removeprefix("celery-")
        with _broker(lab.folder) as broker:
            lab.env |= broker.environment
            options = ("-A", "celery_impl.app")
            lab.start("worker", "celery", *options, "worker", "--concurrency", "2", "--loglevel", "WARNING")
            lab.start("beat", "celery", *options, "beat", "--loglevel", "WARNING", "-s", "beat-schedule")
            yield Stand(lab, request.param)


@pytest.fixture(scope="module", params=["thread", "loop"])
def started_caller(stand: Stand, request: pytest.FixtureRequest) -> Iterator[Caller]:
    made = Caller(stand, request.param)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def caller(started_caller: Caller) -> Iterator[Caller]:
    """A caller whose services are well again when the test ends."""
    yield started_caller
    for service in ("crm", "fulfillment", "node", "mail"):
        started_caller.lab.fault(service, "ok")


@pytest.fixture
def params() -> dict[str, str]:
    """A new user's parameters, of nobody that an earlier test knew."""
    number = next(_numbers)
    return {
        "id": f"user-{number}",
        "name": "Zoë O'Neill",
        "email": f"zoe-{number}@mail.example",
        "birthday": "1990-05-17",
        "address": f"{number} Mill Street, Truro",
    }


@pytest.fixture
def owner() -> str:
    """An owner that no earlier test knew."""
    return f"owner-{next(_numbers)}"


def _broker(folder: Path) -> Broker:
    try:
        return Broker.start(folder / "broker")
    except BrokerError as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
