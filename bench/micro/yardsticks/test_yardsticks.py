"""How fast one process drains a queue, and how soon a job begins: the yardsticks and ours, in turns.

    make bench-micro ARGS="-k yardsticks -s"

Each round goes through all peers, so that whatever else the machine does meets them alike: the jobs are
queued, at once, for a worker that is ready and warm, and timed until the last is acknowledged. `quiet` has no
log line for each job; `logged` those that each library has at level INFO (dramatiq: DEBUG).
The bars are ratios within the run. `YARDSTICK_JOBS` and `YARDSTICK_ROUNDS` make it longer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
import pytest
import redis

from bench.micro.celery_worker import wait
from bench.micro.yardsticks.peers import FOLDER, PEERS, Peer
from bench.world.broker import Broker

JOBS = int(os.environ.get("YARDSTICK_JOBS", "5000"))
ROUNDS = int(os.environ.get("YARDSTICK_ROUNDS", "3"))
#: Jobs a second whose start is timed, and how many in one turn of a peer.
RATE, IN_A_TURN = 50, 100


@dataclass
class Running:
    """A peer, its broker and its worker; what was measured."""

    peer: Peer
    client: Any
    send: Any
    worker: psutil.Process
    delays: Path
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def drain(self) -> None:
        """Time one round."""
        before = self.cpu_s()
        self.peer.fill(self.client)
        began = time.perf_counter()
        wait(lambda: self.peer.is_drained(self.client))
        self.rates.append(JOBS / (time.perf_counter() - began))
        self.cpu_us.append((self.cpu_s() - before) / JOBS * 1e6)

    def cpu_s(self) -> float:
        """The processor's time of the worker and its children, in seconds."""
        family = (self.worker, *self.worker.children(recursive=True))
        return sum(sum(each.cpu_times()[:2]) for each in family)

    def started_after(self) -> list[float]:
        """How long after it was sent each job has begun, in ms."""
        lines = self.delays.read_text().splitlines() if self.delays.exists() else []
        return [float(line) * 1e3 for line in lines]


@contextmanager
def started(peer: Peer, folder: Path, *, quiet: bool, jobs: int) -> Iterator[Running]:
    """A peer with a broker of its own, a worker that is ready, and jobs aside that its library has sent."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker.start(folder, env={"PATH": os.environ["PATH"]}))
        client = stack.enter_context(redis.Redis.from_url(broker.url))
        made = peer.make(peer.scheme + broker.url)
        stack.callback(made.close)
        for _ in range(jobs):
            made.send(0.0)
        peer.put_aside(client)
        delays = folder / "delays"
        with (folder / "worker.log").open("wb") as out:
            process = subprocess.Popen(
                peer.quiet if quiet else peer.command,
                stdout=out,
                stderr=out,
                cwd=FOLDER,
                env=peer.environment(broker.url, delays),
                process_group=0,
            )
        stack.callback(process.wait)
        stack.callback(os.killpg, process.pid, signal.SIGKILL)
        wait(lambda: peer.is_ready(client))
        yield Running(peer, client, made.send, psutil.Process(process.pid), delays)


@contextmanager
def all_started(tmp_path: Path, *, quiet: bool, jobs: int) -> Iterator[list[Running]]:
    """All peers that are here, warm."""
    with ExitStack() as stack:
        found = []
        for number, peer in enumerate(PEERS):
            if text := peer.missing():
                print(f"\nleft out: {text}")  # noqa: T201 - with -s
                continue
            folder = tmp_path / str(number)
            folder.mkdir()
            found.append(stack.enter_context(started(peer, folder, quiet=quiet, jobs=jobs)))
            found[-1].peer.fill(found[-1].client)
            wait(lambda: found[-1].peer.is_drained(found[-1].client))
        yield found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("log", ["quiet", "logged"])
def test_drain(tmp_path: Path, log: str) -> None:
    with all_started(tmp_path, quiet=log == "quiet", jobs=JOBS) as peers:
        for _ in range(ROUNDS):
            for each in peers:
                each.drain()
        say(f"{JOBS} jobs, one process, {log}", [line(each, peers) for each in peers])


def line(each: Running, peers: list[Running]) -> str:
    """What a peer did, and in how many times what others did."""
    rate = median(each.rates)
    against = [
        f"{rate / median(other.rates):.2f} x {other.peer.name}"
        for other in peers
        if other.peer.name in ("stock", "taskiq", "sidekiq")
    ]
    spread = f"{min(each.rates):.0f} to {max(each.rates):.0f}"
    cpu = f"{median(each.cpu_us):.0f} us of CPU each"
    return f"{each.peer.name:14}{rate:6.0f}/s ({spread}), {cpu}, {', '.join(against)}"


def say(title: str, lines: list[str]) -> None:
    """Print the figures, which -s shows."""
    print(f"\n{title}; load {os.getloadavg()[0]:.1f}", *lines, sep="\n")  # noqa: T201 - with -s


@pytest.mark.timeout(600)
def test_start(tmp_path: Path) -> None:
    with all_started(tmp_path, quiet=True, jobs=1) as peers:
        for _ in range(ROUNDS):
            for each in peers:
                send_evenly(each)
        lines = []
        for each in peers:
            late = each.started_after()
            assert len(late) == ROUNDS * IN_A_TURN
            p99 = quantiles(late, n=100)[98]
            lines.append(f"{each.peer.name:14} p50 {median(late):.2f}, p99 {p99:.2f}, max {max(late):.2f}")
        say(f"from send to start at {RATE}/s, ms", lines)


def send_evenly(each: Running) -> None:
    """One turn: send at an even pace, and wait until all have begun."""
    before, began = len(each.started_after()), time.monotonic()
    for number in range(IN_A_TURN):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        each.send(time.monotonic())
    wait(lambda: len(each.started_after()) == before + IN_A_TURN)
