"""What the lease transport costs beside stock's: one `delay`, and 2,000 trivial jobs drained by one worker.

    make bench-micro ARGS="-k lease_transport"

Stock Celery beside `Sidekiq(app)` over `lease+redis://`, in turns in one run: late acknowledgement on, two
jobs in hand for each process, no results, no log line a job. Workers are started and ready before the jobs
are moved to their queue, so that no start-up is timed. The worker processes import this file as their app.

The bars: an enqueue at a third of stock's, a drain at three times stock's. Where the rest of the time goes,
by cProfile on two busy cores (its parts, not its seconds, are of use):

- `delay`: 53 % waits for the broker and its socket (one packet, one answer); filling the message's text has
  10 %, the look whether anything of the app's own wants to see the job 11 % (half of it `task_always_eager`
  in `app.conf`), the result object 8 %, two ids 7 %, strict arguments and the rest 11 %.
- drain, prefork: the main process has all of it. Of what it does, reading the children's results has 19 %,
  writing jobs to them 18 %, acknowledging 14 %, asking for jobs 14 % and taking them in 19 %, the event loop
  the rest: more than a third is Celery's pool, which is the same with stock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
URL, READY = "LEASE_BENCH_URL", "LEASE_BENCH_READY"
JOBS = int(os.environ.get("LEASE_BENCH_JOBS", "2000"))
ROUNDS = 3
TRANSPORTS = ("stock", "lease")


def nothing() -> None:
    """The smallest job."""


def nothing_with(_number: int) -> None:
    """The smallest job with an argument."""


def make(url: str) -> tuple[Celery, Any]:
    """An app with that broker, and its one task."""
    made = Celery("lease-bench", broker=url)
    made.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=2)
    if url.startswith("lease+"):
        Sidekiq(made)
    return made, made.task(name="nothing", shared=False)(nothing)


if URL in os.environ:
    app, _ = make(os.environ[URL])
    signals.worker_ready.connect(lambda **_: Path(os.environ[READY]).touch(), weak=False)


def url_of(name: str, broker: Broker) -> str:
    return broker.url if name == "stock" else f"lease+{broker.url}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker.start(tmp_path / "broker", env={"PATH": os.environ["PATH"]}) as started:
        yield started


def drained(client: redis.Redis) -> bool:
    left: Any = client.llen("celery")
    held = [client.hlen(key) for key in client.scan_iter(f"{HELD}*")]
    return not left and not client.hlen("unacked") and not any(held)


@pytest.mark.benchmark(group="delay")
@pytest.mark.parametrize("name", TRANSPORTS)
def test_delay(benchmark: BenchmarkFixture, broker: Broker, name: str) -> None:
    made, job = make(url_of(name, broker))
    benchmark.pedantic(job.delay, iterations=200, rounds=15, warmup_rounds=2)  # type: ignore[no-untyped-call]
    made.close()


@pytest.mark.benchmark(group=f"bulk of {JOBS}")
def test_bulk(benchmark: BenchmarkFixture, broker: Broker) -> None:
    made, _ = make(url_of("lease", broker))
    items = [(number,) for number in range(JOBS)]
    counted: Any = made.task(name="counted", shared=False)(nothing_with)
    benchmark.pedantic(counted.bulk, args=(items,), rounds=15, warmup_rounds=2)  # type: ignore[no-untyped-call]
    made.close()


@pytest.mark.benchmark(group=f"drain {JOBS}")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
@pytest.mark.parametrize("name", TRANSPORTS)
def test_drain(benchmark: BenchmarkFixture, broker: Broker, tmp_path: Path, name: str, pool: str) -> None:
    made, job = make(url_of(name, broker))
    ready = tmp_path / "ready"
    variables = {URL: url_of(name, broker), READY: str(ready)}
    started = worker(Path(__file__), "-P", pool, "-c", "2", variables=variables, ready=ready)
    with redis.Redis.from_url(broker.url) as client, started:

        def queue_aside() -> None:
            with made.producer_or_acquire() as producer, producer.batch():
                for _ in range(JOBS):
                    job.apply_async(producer=producer, queue="aside")

        def drain() -> None:
            client.rename("aside", "celery")
            client.zadd(signal_key("celery"), {"1": 0})
            wait(lambda: drained(client))

        benchmark.pedantic(drain, setup=queue_aside, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    benchmark.extra_info["jobs_per_second"] = round(JOBS / benchmark.stats.stats.median)  # type: ignore[union-attr]
    made.close()
