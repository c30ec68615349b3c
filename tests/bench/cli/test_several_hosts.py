"""A run over two hosts: broker, services and worker in one network namespace, the run in another.

Both share this machine's clock, so the names A and B are what makes them two hosts. Needs root and the
right to make namespaces, see `network_hosts`: skipped without root; on CI, whose root should have it, a
failure.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.ledger import reader
from bench.measures.events.block import Block
from bench.measures.faults.failure import judge
from bench.measures.latency import latency
from bench.world.server import server_binary
from tests import noise
from tests.bench.cli.network_hosts import ADDRESS, A, B, inside, two_hosts

#: Two blocks and the starts of three programs: the first test waits for all of them.
pytestmark = pytest.mark.timeout(600)
#: Seconds that anything here may take to show.
PATIENCE_S = 150.0
BROKER, WORLD = f"redis://{ADDRESS}:6379/0", f"http://{ADDRESS}:8100"
PARTS = ["--broker-url", BROKER, "--world-url", WORLD]
#: One command over a bare connection, the answer as it comes: to start redis-py each time takes longer.
ASK = (
    "import socket, sys\n"
    "asked = socket.create_connection((sys.argv[1], 6379), timeout=5)\n"
    "asked.sendall(sys.argv[2].encode() + b'\\r\\nQUIT\\r\\n')\n"
    "print(asked.makefile().read().removesuffix('+OK\\n'))\n"
)
BENCH = [sys.executable, "-m", "bench"]


def env_of(label: str, folder: Path) -> dict[str, str]:
    database = f"sqlite:///{folder / 'users.db'}"  # one disk: on two hosts it would be PostgreSQL
    return {**os.environ, "QUEUE_OR_TASK_HOST": label, "DATABASE_URL": database}


class OtherHost:
    """Host B: a broker with somebody's key in it, the services, and a worker of the hardened queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], *, ready: Callable[[], bool]) -> None:
        """Start a part and wait until it is ready."""
        with self.log(name).open("wb") as log:
            self.started[name] = subprocess.Popen(
                inside(B, command), env=env_of("B", self.folder), cwd=self.folder, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while not ready():
            if time.monotonic() > deadline:
                pytest.fail(f"{name} was not ready within {PATIENCE_S} s\n{self.log(name).read_text()}")
            time.sleep(0.2)

    def end(self, name: str) -> int:
        """End a part as a platform would; its exit code."""
        self.started[name].send_signal(signal.SIGTERM)
        return self.started[name].wait(PATIENCE_S)

    def log(self, name: str) -> Path:
        """Where its output is."""
        return self.folder / f"{name}.log"

    def run_on_a(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `queue-or-task` on host A."""
        command, env = inside(A, [*BENCH, *words]), env_of("A", self.folder)
        return subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def other_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherHost]:
    """The other host, with everything of it up."""
    broker = [server_binary(), "--port", "6379", "--bind", ADDRESS, "--protected-mode", "no", "--save", ""]
    worker = ["worker", "--side", "celery-hardened", "--profile", "smoke", "--concurrency", "2", *PARTS]
    with two_hosts():
        other = OtherHost(tmp_path_factory.mktemp("several"))
        try:
            other.start("broker", broker, ready=lambda: redis("SET", "somebody", "else") == ["+OK"])
            world = [*BENCH, "world", "--bind", ADDRESS]
            other.start("world", world, ready=lambda: "--world-url" in other.log("world").read_text())
            other.start("worker", [*BENCH, *worker], ready=lambda: bool(redis("KEYS", "*pidbox")))
            yield other
        finally:
            for name in reversed(other.started):
                other.end(name)


def redis(*words: str) -> list[str]:
    """What the broker answers to a command, as seen from host A; nothing where it is away."""
    command = inside(A, [sys.executable, "-ISc", ASK, ADDRESS, " ".join(words)])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line and line[0] not in "*$"]


@pytest.fixture(scope="module")
def measured(other_host: OtherHost) -> Path:
    """A run over both hosts: two sides under load, and a fault that would kill the worker."""
    asked = ["--scenario", "account_setup", "--scenario", "welcome_email", "--fault", "12"]
    sides = ["--side", "inprocess", "--side", "celery-hardened", "--measure", "latency", "--measure", "fault"]
    done = other_host.run_on_a("run", "--profile", "smoke", *asked, *sides, *PARTS, "--external-workers")
    noise.check_run(done.returncode, done.stdout + done.stderr)
    return (other_host.folder / "results" / "latest").resolve()


def events_of(run: Path, block: str) -> list[dict[str, Any]]:
    events, warnings = reader.read_events(run / f"events-{block}.jsonl")
    assert warnings == []
    return events


BLOCKS = ["r00-inprocess", "r00-celery-hardened"]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_job_is_counted_once_though_another_host_did_it(measured: Path, block: str) -> None:
    events = events_of(measured, block)
    for scenario in ("account_setup", "welcome_email"):
        judged = judge(events, scenario=scenario, deadline_ms=5_000)
        assert len(judged.classes["done_once"]) == judged.submitted > 20
        assert judged.sum_ok
    jobs = pd.read_csv(measured / "jobs.csv")
    assert set(jobs[jobs["block"] == block]["outcome"]) == {"done"}


def test_the_events_say_which_host_stamped_them(measured: Path) -> None:
    stamped = {
        block: Counter((event["event"], event["host"]) for event in events_of(measured, block))
        for block in BLOCKS
    }
    for seen in stamped.values():
        assert {host for event, host in seen if event == "effect"} == {"B"}
        assert {host for event, host in seen if event in {"due", "submit", "accepted", "response"}} == {"A"}
    assert {host for event, host in stamped["r00-inprocess"] if event in {"start", "done"}} == {"A"}
    assert {host for event, host in stamped["r00-celery-hardened"] if event in {"start", "done"}} == {"B"}


def test_what_one_host_saw_is_told_and_what_takes_two_clocks_is_not(measured: Path) -> None:
    told = pd.read_csv(measured / "latency.csv").groupby("side")["metric"].unique()
    common = {"caller", "service", "request", "lateness", "host_tax"}
    assert set(told["celery-hardened"]) == common
    assert set(told["inprocess"]) == common | {"pickup", "seen"}
    jobs = pd.read_csv(measured / "jobs.csv")
    assert jobs[["response_ms", "uncorrected_ms"]].isna().all(axis=None)
    assert jobs["caller_ms"].between(0, 10_000).all()
    cost = pd.read_csv(measured / "cost.csv").set_index("side")
    assert cost["cpu_s_per_1000"].notna().to_dict() == {"inprocess": True, "celery-hardened": False}


@pytest.mark.parametrize("block", BLOCKS)
def test_the_figures_would_be_the_same_whatever_the_other_clock_showed(measured: Path, block: str) -> None:
    events = events_of(measured, block)
    shifted = [{**e, "t": e["t"] + 10**15} if e["host"] == "B" else e for e in events]
    due = [event["t"] for event in events if event["event"] == "due"]
    window = Block(block=block, side="x", start_ns=min(due), end_ns=max(due) + 1)
    pd.testing.assert_frame_equal(latency.job_frame(events, window), latency.job_frame(shifted, window))
    one, two = (
        asdict(judge(seen, scenario="account_setup", deadline_ms=5_000)) for seen in (events, shifted)
    )
    assert one == two


def test_the_manifest_says_what_was_elsewhere_and_what_is_not_told(measured: Path) -> None:
    manifest = json.loads((measured / "run.json").read_text())
    external = manifest["external"]
    assert external["host"] == "A"
    assert external["services"] == f"{WORLD} on host B"
    assert external["workers"] == "started elsewhere"
    assert external["not told"].startswith("response, late, and recovery")
    assert manifest["broker"] == f"--broker-url {BROKER}"
    assert manifest["command"][-5:] == [*PARTS, "--external-workers"]


def test_a_fault_that_strikes_what_is_not_ours_is_listed_with_the_reason(measured: Path) -> None:
    blocks = pd.read_csv(measured / "blocks.csv").set_index("block")
    strike = blocks.loc["f12-0-celery-hardened"]
    assert not strike["valid"]
    assert "strikes the worker, which is not ours" in strike["reason"]
    assert not (measured / "failures.csv").exists()


@pytest.mark.slow
def test_an_interrupted_run_is_gone_on_with_on_the_same_hosts(measured: Path, other_host: OtherHost) -> None:
    blocks = pd.read_csv(measured / "blocks.csv")
    blocks[blocks["block"] != "r00-inprocess"].to_csv(measured / "blocks.csv", index=False)
    manifest = json.loads((measured / "run.json").read_text())
    (measured / "run.json").write_text(json.dumps({**manifest, "interrupted": True, "finished_at": None}))
    done = other_host.run_on_a("run", "--resume", str(measured))
    noise.check_run(done.returncode, done.stdout + done.stderr)
    assert len(events_of(measured, "r00-inprocess")) > 100
    resumed = json.loads((measured / "run.json").read_text())["resumptions"]
    assert [redone["block"] for redone in resumed[0]["redone"]][-1] == "r00-inprocess"


@pytest.mark.slow  # `test_host_discovery` has the same refusal within a second
def test_a_side_without_a_worker_is_refused_with_the_command_that_starts_one(
    measured: Path, other_host: OtherHost
) -> None:
    done = other_host.run_on_a("run", "--side", "celery-stock", "--out", "none", *PARTS, "--external-workers")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no worker of celery-stock answered within" in line
    assert f"queue-or-task worker --side celery-stock --profile quick {' '.join(PARTS)}" in line
    assert not (measured.parent.parent / "none").exists()


@pytest.mark.usefixtures("measured")
def test_a_worker_that_ends_takes_its_own_keys_along_and_no_others(other_host: OtherHost) -> None:
    assert redis("KEYS", "*celery-hardened*")
    assert other_host.end("worker") == 0, other_host.log("worker").read_text()
    assert redis("KEYS", "*") == ["somebody"]
