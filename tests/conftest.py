"""What the tests of several rooms share: real processes of the road, and what they wrote."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.process.process_table import Process, ProcessTable
from scenarios.ledger import whole_lines

pytest_plugins = ["tests.timeouts", "tests.properties", "tests.noise"]

ROOT = Path(__file__).parent.parent
#: Seconds that anything awaited by a test may take.
PATIENCE_S = 30.0


def pytest_collection_finish() -> None:
    """Take the modules and tests, which stay, out of the garbage collector's sight.

    `no_leaks` collects after every test: over all that the suite has imported that took 0.2 s a time.
    """
    gc.collect()
    gc.freeze()


class Lab:
    """A folder with a ledger, and real processes that end with the test."""

    def __init__(self, folder: Path, table: ProcessTable) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.ledger.mkdir()
        self.world: dict[str, str] = {}
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": f"sqlite:///{folder / 'scenarios.db'}",
            "DEPENDENCY_TIMEOUT_S": "1",
            "QUEUE_OR_TASK_LEDGER": str(self.ledger),
            "QUEUE_OR_TASK_CONTEXT": '{"run": "test"}',
        }
        self._table = table

    def start(self, name: str, module: str, *options: str) -> Process:
        """Start `python -m module` in the folder; its output is in `<name>.log`."""
        command = [sys.executable, "-m", module, *options]
        return self._table.start(name, command, env=self.env, folder=self.folder)

    def start_world(self, *options: str) -> Process:
        """Start the services; every process started later finds them."""
        process = self.start("world", "bench.world.serve", "--folder", str(self.folder), *options)
        self.world = self.written("world.json", process)
        self.env |= {name.upper(): url for name, url in self.world.items()}
        return process

    def start_app(self, side: str, *options: str) -> tuple[Process, str]:
        """Start the app of a side; the answer holds its URL."""
        (self.folder / "app.json").unlink(missing_ok=True)
        self.env["QUEUE_OR_TASK_SIDE"] = side
        process = self.start("app", "bench.app", "--folder", str(self.folder), *options)
        return process, str(self.written("app.json", process)["url"])

    def written(self, name: str, process: Process) -> dict[str, Any]:
        """What a process wrote into the folder when it was ready."""

        def look() -> bool:
            if process.exit_code() is not None:
                pytest.fail(f"{process.name} ended at its start:\n{process.tail(30)}")
            return (self.folder / name).exists()

        self.eventually(look)
        value: dict[str, Any] = json.loads((self.folder / name).read_text())
        return value

    def ended(self, process: Process) -> int | None:
        """Wait for the end of a process; its exit code, or None where it runs on."""
        asyncio.run(process.ended(within_s=PATIENCE_S))
        return process.exit_code()

    def fault(self, service: str, mode: str, **options: Any) -> None:
        """Tell a service how to behave."""
        body = {"service": service, "mode": mode, **options}
        answer = httpx.post(f"{self.world['control_url']}/faults", json=body, trust_env=False)
        assert answer.status_code == 204, answer.text

    def control(self, path: str) -> Any:
        """What the control server answers."""
        return httpx.get(f"{self.world['control_url']}{path}", trust_env=False).json()

    def events(self, *names: str, **fields: Any) -> list[dict[str, Any]]:
        """The events of these names and fields so far, in the order of time."""
        lines = [line for path in self.ledger.glob("*.jsonl") for line in whole_lines(path.read_bytes())]
        found = [event for event in map(json.loads, lines) if not names or event["event"] in names]
        return sorted((e for e in found if fields.items() <= e.items()), key=lambda event: int(event["t"]))

    def eventually(self, look: Callable[[], Any], *, within_s: float = PATIENCE_S) -> Any:
        """What `look` returns as soon as it is true; fail the test where it never is."""
        deadline = time.monotonic() + within_s
        while not (found := look()):
            if time.monotonic() > deadline:
                pytest.fail(f"not within {within_s} s; last look: {found!r}\n{self._logs()}")
            time.sleep(0.02)
        return found

    def _logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in self.folder.glob("*.log"))


@pytest.fixture(scope="session")
def open_lab() -> Callable[[Path], Any]:
    """Opens a lab in a folder, for fixtures of a wider scope than a test."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Lab]:
        with ProcessTable() as table:
            yield Lab(folder, table)

    return opened


@pytest.fixture
def lab(tmp_path: Path, open_lab: Callable[[Path], Any]) -> Iterator[Lab]:
    """A lab for one test."""
    with open_lab(tmp_path) as opened:
        yield opened
