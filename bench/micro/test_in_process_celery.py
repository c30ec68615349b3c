"""What a task costs in-process beside stock Celery on Redis with a solo worker, in one run.

    make bench-micro ARGS="-k in_process_celery"

Two groups, the same trivial task on both sides, with its result kept:

- `delay`: sending alone. In-process the worker sleeps meanwhile, on Redis it is not there. The bar is
  40 µs on the machine of the plan; `extra_info` has the CPU time of this thread in µs, which a busy
  machine blurs less than the clock does.
- `finished`: from `delay` to the result in the caller's hand, one at a time. The bar is a third of
  stock's. The worker process is ready before anything is timed, and imports this file as its app.

Where the µs of `delay` go, by cProfile: `apply_async` and its argument check 20 %, the result object
20 %, the message's headers and properties 25 %, the id 15 %, the queue 15 %.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, signals
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.celery_worker import worker
from bench.world.broker import Broker
from inprocess.celery import run_in_process

#: Variables of the worker process: the broker, and the file that tells that it is ready.
URL, READY = "IN_PROCESS_BENCH_URL", "IN_PROCESS_BENCH_READY"
SIDES = ("redis", "in-process")
#: Calls of one round of `delay`, and rounds.
CALLS, ROUNDS = 200, 15
#: Seconds that a result may take.
PATIENCE_S = 60


def add(x: int, y: int) -> int:
    """The smallest job with a result."""
    return x + y


def make(url: str | None) -> tuple[Celery[Any], Any]:
    """An app with that broker and result backend, and its one task."""
    made: Celery[Any] = Celery("in-process-bench", broker=url, backend=url, set_as_current=False)
    made.conf.worker_prefetch_multiplier = 1
    return made, made.task(name="add", shared=False)(add)


if URL in os.environ:
    app, _ = make(os.environ[URL])
    signals.worker_ready.connect(lambda **_: Path(os.environ[READY]).touch(), weak=False)


@contextmanager
def side(name: str, folder: Path, *, with_worker: bool) -> Iterator[Any]:
    """The task of one side, with everything it needs."""
    if name == "in-process":
        made, task = make(None)
        with run_in_process(made, grace_s=0.0) as run:
            task.delay(1, 2).get(timeout=PATIENCE_S)
            if not with_worker:
                run.broker.wake = bool
            yield task
            run.broker.purge("celery")
        return
    with Broker.start(folder / "broker", env={"PATH": os.environ["PATH"]}) as broker:
        made, task = make(broker.url)
        if with_worker:
            ready = folder / "ready"
            variables = {URL: broker.url, READY: str(ready)}
            with worker(Path(__file__), "-P", "solo", variables=variables, ready=ready):
                yield task
        else:
            yield task
        made.close()


@pytest.mark.benchmark(group="delay")
@pytest.mark.parametrize("name", SIDES)
def test_delay(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    with side(name, tmp_path, with_worker=False) as task:
        benchmark.pedantic(task.delay, args=(1, 2), iterations=CALLS, rounds=ROUNDS, warmup_rounds=2)  # type: ignore[no-untyped-call]
        benchmark.extra_info["cpu_us"] = round(min(_cpu_us(task) for _ in range(5)), 1)


@pytest.mark.benchmark(group="finished")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SIDES)
def test_finished(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    with side(name, tmp_path, with_worker=True) as task:

        def finished() -> None:
            task.delay(1, 2).get(timeout=PATIENCE_S)

        benchmark.pedantic(finished, iterations=20, rounds=ROUNDS, warmup_rounds=2)  # type: ignore[no-untyped-call]


def _cpu_us(task: Any) -> float:
    """Microseconds of CPU of this thread that one call takes."""
    begun = time.thread_time()
    for _ in range(CALLS):
        task.delay(1, 2)
    return (time.thread_time() - begun) / CALLS * 1e6
