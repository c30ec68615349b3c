"""What the sorted sets cost, and how late a job with a countdown begins.

    make bench-micro ARGS="-k test_sets -s"

Lateness: jobs whose due times lie at random in some seconds, from when each was due until it began, in real
workers of two processes that have nothing else to do. Stock Celery is there to compare: its worker holds each
job with a timer of its own and so is more punctual, for as long as it lives and its memory lasts. The figures
are in `extra_info`: `--benchmark-json=FILE` keeps them, `-s` prints them.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, signals
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.celery_worker import wait, worker
from bench.world.broker import Broker
from celery_impl.sidekiq import Sets, Sidekiq
from celery_impl.sidekiq.api import RetrySet
from celery_impl.sidekiq.jobs.entry_format import entry
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE

#: Variables of the worker processes: the broker, whose app it is, the file that tells that one is ready.
URL, NAME, READY = "SETS_BENCH_URL", "SETS_BENCH_NAME", "SETS_BENCH_READY"
#: Jobs of a lateness, and seconds in which they become due.
JOBS, SPREAD_S = 500, 5.0
#: Seconds before the first is due, in which all are sent.
LEAD_S = 5.0
#: Entries of the other sets.
ENTRIES = 10_000
LATE = "late"
NAMES = ("stock", "sets", "sets on lease")


def make(name: str, url: str) -> Celery:
    """An app with that broker, as `name` says."""
    made = Celery("sets-bench", broker=f"lease+{url}" if "lease" in name else url)
    made.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=2)
    if name != "stock":
        Sidekiq(made)

    @made.task(name="note", shared=False)
    def note(due: float) -> None:
        client().rpush(LATE, f"{due} {time.time() - due}")

    return made


def client() -> redis.Redis:
    """This process's connection to the broker of the environment."""
    if os.getpid() not in _clients:
        _clients[os.getpid()] = redis.Redis.from_url(os.environ[URL])
    return _clients[os.getpid()]


_clients: dict[int, redis.Redis] = {}

if URL in os.environ:
    app = make(os.environ[NAME], os.environ[URL])
    signals.worker_ready.connect(lambda **_: Path(os.environ[READY]).touch(), weak=False)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker.start(tmp_path / "broker", env={"PATH": os.environ["PATH"]}) as started:
        yield started


def started(name: str, url: str, folder: Path, number: int) -> AbstractContextManager[int]:
    """A worker of two processes."""
    ready = folder / f"ready{number}"
    variables = {URL: url, NAME: name, READY: str(ready)}
    return worker(Path(__file__), "-c", "2", "-n", f"w{number}", variables=variables, ready=ready)


def moments() -> list[float]:
    """When each job is due: at random, from some seconds on."""
    first, draw = time.time() + LEAD_S, random.Random(1)  # noqa: S311 - no secret
    return sorted(first + draw.random() * SPREAD_S for _ in range(JOBS))


def tell(benchmark: BenchmarkFixture, what: str, late: list[float]) -> None:
    parts = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    figures = {"n": len(late), **{word: round(quantile(late, part), 3) for word, part in parts.items()}}
    benchmark.extra_info.update(figures)
    print(f"\nlateness in s, {what}: {figures}; load {os.getloadavg()[0]:.1f}")  # noqa: T201 - with -s


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


@pytest.mark.benchmark(group=f"{JOBS} jobs due within {SPREAD_S:.0f} s")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_lateness(
    benchmark: BenchmarkFixture, broker: Broker, tmp_path: Path, name: str, workers: int
) -> None:
    made = make(name, broker.url)
    with redis.Redis.from_url(broker.url) as own, ExitStack() as stack:
        for number in range(workers):
            stack.enter_context(started(name, broker.url, tmp_path, number))

        def send() -> None:
            due = moments()
            for moment in due:
                made.send_task("note", (moment,), eta=datetime.fromtimestamp(moment, tz=UTC))
            assert time.time() < due[0], "sent too late to tell anything"

        def done() -> list[tuple[float, ...]]:
            answer: Any = own.lrange(LATE, 0, -1)
            return [tuple(map(float, line.split())) for line in answer]

        def all_done() -> None:
            wait(lambda: own.llen(LATE) >= JOBS)

        benchmark.pedantic(all_done, setup=send, rounds=1)  # type: ignore[no-untyped-call]
        late = [lateness for _, lateness in done()]
        assert len({due for due, _ in done()}) == JOBS == len(late), (
            "each job runs once where nothing is killed"
        )
    tell(benchmark, f"{name}, {workers} workers", late)
    made.close()


@pytest.mark.benchmark(group=f"{JOBS} jobs promoted within {SPREAD_S:.0f} s")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", NAMES[1:])
def test_promotion(
    benchmark: BenchmarkFixture, broker: Broker, tmp_path: Path, name: str, workers: int
) -> None:
    """How late jobs come to a queue that nobody consumes, to 5 ms: the sets' own part of the lateness."""
    made = make(name, broker.url)
    late: list[float] = []
    with redis.Redis.from_url(broker.url) as own, ExitStack() as stack:
        for number in range(workers):
            stack.enter_context(started(name, broker.url, tmp_path, number))
        due = moments()

        def come() -> bool:
            count: Any = own.llen("aside")
            late.extend(time.time() - moment for moment in due[len(late) : count])
            return len(late) == JOBS

        def send() -> None:
            for moment in due:
                made.send_task("note", (moment,), eta=datetime.fromtimestamp(moment, tz=UTC), queue="aside")
            assert time.time() < due[0], "sent too late to tell anything"

        benchmark.pedantic(lambda: wait(come), setup=send, rounds=1)  # type: ignore[no-untyped-call]
    tell(benchmark, f"promotion, {name}, {workers} workers", late)
    made.close()


@pytest.mark.benchmark(group="enqueue")
@pytest.mark.parametrize("countdown", [None, 3600], ids=["now", "countdown"])
@pytest.mark.parametrize("name", NAMES)
def test_enqueue(benchmark: BenchmarkFixture, broker: Broker, name: str, countdown: float | None) -> None:
    made = make(name, broker.url)
    send = made.tasks["note"].apply_async
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        send, args=((1.0,),), kwargs={"countdown": countdown}, iterations=100, rounds=20, warmup_rounds=2
    )
    made.close()


def message(number: int) -> str:
    properties = {"delivery_tag": str(number), "delivery_info": {"exchange": "", "routing_key": "celery"}}
    headers = {"id": f"job-{number}", "task": "note", "retries": 1}
    known = {"body": "[[1], {}, {}]", "headers": headers, "properties": properties}
    return json.dumps({**known, "content-type": "application/json"})


def fill(own: redis.Redis, name: str) -> None:
    own.flushall()
    own.zadd(name, {entry("celery", message(number)): number for number in range(ENTRIES)})


@pytest.mark.benchmark(group=f"{ENTRIES} entries")
def test_promoting_all_that_is_due(benchmark: BenchmarkFixture, broker: Broker) -> None:
    with redis.Redis.from_url(broker.url) as own:
        sets = Sets(own)
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            sets.promote, args=(ENTRIES,), setup=lambda: fill(own, SCHEDULE), rounds=5
        )
        assert own.llen("celery") == ENTRIES


@pytest.mark.benchmark(group="a look at what is due, where nothing is")
def test_a_look(benchmark: BenchmarkFixture, broker: Broker) -> None:
    with redis.Redis.from_url(broker.url) as own:
        fill(own, SCHEDULE)
        assert benchmark(Sets(own).promote, -1) == 0


@pytest.mark.benchmark(group=f"{ENTRIES} entries")
@pytest.mark.parametrize("act", ["iterate", "find", "retry_all", "kill_all", "clear"])
def test_acting(benchmark: BenchmarkFixture, broker: Broker, act: str) -> None:
    made = make("sets", broker.url)
    retries = RetrySet(made)
    actions: dict[str, Callable[[], object]] = {
        "iterate": lambda: sum(1 for _ in retries),
        "find": lambda: retries.find("job-0"),
        "retry_all": retries.retry_all,
        "kill_all": retries.kill_all,
        "clear": retries.clear,
    }
    with redis.Redis.from_url(broker.url) as own:
        benchmark.pedantic(actions[act], setup=lambda: fill(own, RETRY), rounds=5)  # type: ignore[no-untyped-call]
    made.close()
