"""Two children of `-P swarm` beside two of prefork over `lease+redis://`: jobs drained, CPU time, memory.

    make bench-micro ARGS="-k swarm_pool -s"

Late acknowledgement, no results, no log line a job. All workers are up in one test, on queues of their own,
and drain JOBS trivial jobs in turns. The bars are ratios within the run: with a multiplier of 10 swarm
does 4.5 times what prefork does, with 2 three times, and its processes have no more memory (PSS).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest
import redis
from celery import Celery, signals
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.celery_worker import wait, worker
from bench.world.broker import Broker
from celery_impl.sidekiq import Sidekiq
from celery_impl.sidekiq.lease.lease_store import HELD
from celery_impl.sidekiq.redis.queue_signal import signal_key

#: Variables of the worker processes: the broker, the multiplier, and the file that tells that one is ready.
URL, MULTIPLIER, READY = "SWARM_BENCH_URL", "SWARM_BENCH_MULTIPLIER", "SWARM_BENCH_READY"
JOBS = int(os.environ.get("SWARM_BENCH_JOBS", "8000"))
ROUNDS = int(os.environ.get("SWARM_BENCH_ROUNDS", "5"))
MULTIPLIERS = (2, 10)
POOLS = ("prefork", "swarm")
CHILDREN = 2


def nothing() -> None:
    """The smallest job."""


def make(url: str, multiplier: int) -> tuple[Celery[Any], Any]:
    """An app with that broker, and its one task."""
    made: Celery[Any] = Celery("swarm-bench", broker=url, set_as_current=False)
    made.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=multiplier)
    Sidekiq(made)
    return made, made.task(name="nothing", shared=False)(nothing)


if URL in os.environ:
    app, _ = make(os.environ[URL], int(os.environ[MULTIPLIER]))
    signals.worker_ready.connect(lambda **_: Path(os.environ[READY]).touch(), weak=False)


@dataclass
class Side:
    """A worker on a queue of its own, and what was measured."""

    pool: str
    multiplier: int
    processes: list[psutil.Process]
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    pss_mb: float = 0.0

    @property
    def queue(self) -> str:
        return f"{self.pool}{self.multiplier}"

    def cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def look_at_memory(self) -> None:
        pss = (process.memory_full_info().pss for process in self.processes)
        self.pss_mb = sum(pss) / 2**20

    def __str__(self) -> str:
        spread = f"{min(self.rates):.0f} to {max(self.rates):.0f}"
        return (
            f"{self.pool:8} multiplier {self.multiplier:2}: {median(self.rates):6.0f}/s ({spread}), "
            f"{median(self.cpu_us):4.0f} us of CPU each, {self.pss_mb:.0f} MB PSS"
        )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker.start(tmp_path / "broker", env={"PATH": os.environ["PATH"]}) as started:
        yield started


def drained(client: redis.Redis, queue: str) -> bool:
    left: Any = client.llen(queue)
    return not left and not any(client.hlen(key) for key in client.scan_iter(f"{HELD}*"))


@pytest.mark.timeout(900)
def test_drain(benchmark: BenchmarkFixture, broker: Broker, tmp_path: Path) -> None:
    sides = benchmark.pedantic(measure, args=(broker, tmp_path))  # type: ignore[no-untyped-call]
    for prefork, swarm in zip(sides[::2], sides[1::2], strict=True):
        ratio = median(swarm.rates) / median(prefork.rates)
        benchmark.extra_info[f"swarm_by_prefork_{swarm.multiplier}"] = round(ratio, 2)
    print(f"\n{JOBS} jobs, {ROUNDS} rounds, load {os.getloadavg()[0]:.1f}", *sides, sep="\n")  # noqa: T201 - with -s
    print(benchmark.extra_info)  # noqa: T201 - with -s


def measure(broker: Broker, folder: Path) -> list[Side]:
    """Let all workers drain the jobs in turns."""
    url = f"lease+{broker.url}"
    made, job = make(url, 1)
    with redis.Redis.from_url(broker.url) as client, ExitStack() as stack:
        stack.callback(made.close)
        sides = [start(stack, url, folder, pool, each) for each in MULTIPLIERS for pool in POOLS]
        for number in range(ROUNDS + 1):  # the first warms up
            for side in sides:
                turn(client, made, job, side)
                if not number:
                    side.rates.clear()
                    side.cpu_us.clear()
        for side in sides:
            side.look_at_memory()
    return sides


def start(stack: ExitStack, url: str, folder: Path, pool: str, multiplier: int) -> Side:
    """Start a worker with two children, and return it when it takes jobs."""
    name = f"{pool}{multiplier}"
    ready = folder / name
    variables = {URL: url, MULTIPLIER: str(multiplier), READY: str(ready)}
    before = set(psutil.Process().children())
    options = ("-P", pool, "-c", str(CHILDREN), "-Q", name, "-n", name)
    stack.enter_context(worker(Path(__file__), *options, variables=variables, ready=ready))
    [main] = set(psutil.Process().children()) - before
    wait(lambda: len(main.children(recursive=True)) == CHILDREN)
    return Side(pool, multiplier, [main, *main.children(recursive=True)])


def turn(client: redis.Redis, made: Celery[Any], job: Any, side: Side) -> None:
    """Time one round of one worker."""
    with made.producer_or_acquire() as producer, producer.batch():
        for _ in range(JOBS):
            job.apply_async(producer=producer, queue="aside")
    cpu_s, began = side.cpu_s(), time.perf_counter()
    client.rename("aside", side.queue)
    client.zadd(signal_key(side.queue), {"1": 0})
    wait(lambda: drained(client, side.queue))
    side.rates.append(JOBS / (time.perf_counter() - began))
    side.cpu_us.append((side.cpu_s() - cpu_s) / JOBS * 1e6)
