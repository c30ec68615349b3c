"""What a job costs in `-P aio` beside `-P solo`, and how long 1,000 jobs that sleep for a second take.

    make bench-micro ARGS="-k asyncio_pool"

Late acknowledgement on, no results, no log line a job; each worker holds 100 jobs at once, solo by its
prefetch multiplier, aio by its concurrency. Both workers are up in one test, on queues of their own, and
drain JOBS trivial jobs in turns: `async def` in aio, plain in solo. `extra_info` has the CPU time of the
worker's process in µs a job, the median of the rounds, and the ratio. The bar is 1.4.

The sleepers' bars are 1.4 s over `lease+redis://` and 2.3 s over `redis://`, where each job takes a command.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
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

#: Variables of the worker processes: the broker, and the file that tells that one is ready.
URL, READY = "POOL_BENCH_URL", "POOL_BENCH_READY"
JOBS = int(os.environ.get("POOL_BENCH_JOBS", "4000"))
ROUNDS = 5
#: Jobs that a worker holds at once.
WINDOW = 100
SLEEPERS, SLEEP_S = 1000, 1.0
TRANSPORTS = ("redis", "lease+redis")


def plain() -> None:
    """The smallest job."""


async def coroutine() -> None:
    """The same as a coroutine."""


async def sleeper() -> None:
    """Sleep for a second."""
    await asyncio.sleep(SLEEP_S)


def make(url: str) -> Celery[Any]:
    """An app with that broker, and its tasks."""
    made: Celery[Any] = Celery("pool-bench", broker=url, set_as_current=False)
    made.conf.update(task_acks_late=True, task_ignore_result=True)
    if url.startswith("lease+"):
        Sidekiq(made)
    for function in (plain, coroutine, sleeper):
        made.task(name=function.__name__, shared=False)(function)
    return made


if URL in os.environ:
    app = make(os.environ[URL])
    signals.worker_ready.connect(lambda **_: Path(os.environ[READY]).touch(), weak=False)


class Bench:
    """A broker with an app of one transport; `close` ends the app."""

    def __init__(self, broker: Broker, transport: str, folder: Path) -> None:
        self.url = broker.url.replace("redis", transport, 1)
        self.app = make(self.url)
        self._folder = folder
        self._client = redis.Redis.from_url(broker.url)

    def worker(self, pool: str, *options: str) -> Any:
        """A worker with the pool, on the queue of its name."""
        ready = self._folder / f"{pool}-ready"
        return worker(
            Path(__file__),
            "-P",
            pool,
            "-Q",
            pool,
            *options,
            variables={URL: self.url, READY: str(ready)},
            ready=ready,
        )

    def queue_aside(self, task: str, jobs: int) -> None:
        """Send the jobs to where nobody takes them."""
        with self.app.producer_or_acquire() as producer:
            for _ in range(jobs):
                self.app.tasks[task].apply_async(producer=producer, queue="aside")

    def drain(self, queue: str) -> None:
        """Give the jobs to a worker, and wait until all are done."""
        self._client.rename("aside", queue)
        self._client.zadd(signal_key(queue), {"1": 0})
        wait(lambda: self._drained(queue))

    def close(self) -> None:
        """Close what was opened."""
        self.app.close()
        self._client.close()

    def _drained(self, queue: str) -> bool:
        if self._client.llen(queue) or self._client.hlen("unacked"):
            return False
        return not any(self._client.hlen(key) for key in self._client.scan_iter(f"{HELD}*"))


@pytest.fixture(params=TRANSPORTS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with Broker.start(tmp_path / "broker", env={"PATH": os.environ["PATH"]}) as broker:
        made = Bench(broker, request.param, tmp_path)
        yield made
        made.close()


@pytest.mark.benchmark(group=f"drain {JOBS} in -P aio")
@pytest.mark.timeout(300)
def test_cpu_a_job(benchmark: BenchmarkFixture, bench: Bench) -> None:
    spent: dict[str, list[float]] = {"solo": [], "aio": []}
    solo = bench.worker("solo", "-c", "1", "--prefetch-multiplier", str(WINDOW))
    aio = bench.worker("aio", "-c", str(WINDOW), "--prefetch-multiplier", "1")
    with solo as solo_pid, aio as aio_pid:
        pids = {"solo": solo_pid, "aio": aio_pid}

        def drain(pool: str) -> None:
            before = _cpu_s(pids[pool])
            bench.drain(pool)
            spent[pool].append((_cpu_s(pids[pool]) - before) / JOBS * 1e6)

        def in_turns() -> None:
            bench.queue_aside("plain", JOBS)
            drain("solo")
            bench.queue_aside("coroutine", JOBS)

        benchmark.pedantic(drain, args=("aio",), setup=in_turns, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    medians = {pool: statistics.median(each) for pool, each in spent.items()}
    benchmark.extra_info |= {f"{pool}_cpu_us": round(median) for pool, median in medians.items()}
    benchmark.extra_info["ratio"] = round(medians["aio"] / medians["solo"], 2)


@pytest.mark.benchmark(group=f"{SLEEPERS} jobs of {SLEEP_S} s in -P aio")
@pytest.mark.timeout(300)
def test_sleepers(benchmark: BenchmarkFixture, bench: Bench) -> None:
    with bench.worker("aio", "-c", str(SLEEPERS), "--prefetch-multiplier", "1"):
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            bench.drain, args=("aio",), setup=lambda: bench.queue_aside("sleeper", SLEEPERS), rounds=ROUNDS
        )


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
