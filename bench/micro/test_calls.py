"""Call costs: what handing one job over costs its caller, per build, side by side in one run.

    make bench-micro

Written in pytest-benchmark's own format, so `pytest-benchmark compare` works on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from pytest_benchmark.fixture import BenchmarkFixture

from bench.world.broker import Broker
from celery_impl import app as celery_app
from celery_impl import profiles
from inprocess import Task, TaskSupervisor
from inprocess.supervision.tasks.task import unlinked

#: Calls timed together, and how often: enough for a stable median in some seconds.
ITERATIONS = 50
ROUNDS = 30


#: Jobs that are handed over and run to their end in one go.
BATCH = 1000


async def nothing() -> None:
    """The smallest job."""


def nothing_at_all() -> None:
    """The smallest job of a queue; here it is never run."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker without workers: what is queued stays queued until it stops."""
    with Broker.start(tmp_path_factory.mktemp("broker")) as started:
        yield started


def timed(benchmark: BenchmarkFixture, call: Callable[[], object]) -> None:
    """Time a call in rounds, with one round before that is not counted."""
    benchmark.pedantic(  # type: ignore[no-untyped-call] # pytest-benchmark has no types
        call, iterations=ITERATIONS, rounds=ROUNDS, warmup_rounds=1
    )


@pytest.mark.benchmark(group="hand one job over")
def test_bare_create_task(benchmark: BenchmarkFixture) -> None:
    async def main() -> None:
        started: list[asyncio.Task[None]] = []
        timed(benchmark, lambda: started.append(asyncio.create_task(nothing())))
        await asyncio.gather(*started)

    asyncio.run(main())


@pytest.mark.benchmark(group="hand one job over")
def test_start_child(benchmark: BenchmarkFixture) -> None:
    async def main() -> None:
        supervisor = TaskSupervisor.start()
        timed(benchmark, lambda: supervisor.start_child(nothing))
        await supervisor.idle()

    asyncio.run(main())


@pytest.mark.benchmark(group="hand one job over")
def test_task_start(benchmark: BenchmarkFixture) -> None:
    async def main() -> None:
        timed(benchmark, lambda: Task.start(nothing))
        await unlinked(asyncio.get_running_loop()).idle()

    asyncio.run(main())


@pytest.mark.benchmark(group="hand one job over")
@pytest.mark.parametrize("profile", ["stock", "hardened"])
def test_delay(benchmark: BenchmarkFixture, broker: Broker, profile: str) -> None:
    app: Celery = celery_app.make(profiles.PROFILES[profile], broker.environment)
    job = app.task(name="nothing", shared=False, ignore_result=True)(nothing_at_all)
    timed(benchmark, job.delay)
    app.control.purge()
    app.close()


@pytest.mark.benchmark(group=f"hand {BATCH} jobs over and run them")
@pytest.mark.parametrize("way", ["create_task", "start_child"])
def test_to_the_end(benchmark: BenchmarkFixture, way: str) -> None:
    async def batch() -> None:
        if way == "create_task":
            await asyncio.gather(*(asyncio.create_task(nothing()) for _ in range(BATCH)))
            return
        supervisor = TaskSupervisor.start()
        for _ in range(BATCH):
            supervisor.start_child(nothing)
        await supervisor.idle()

    benchmark.pedantic(  # type: ignore[no-untyped-call] # as above
        lambda: asyncio.run(batch()), rounds=ROUNDS, warmup_rounds=1
    )
