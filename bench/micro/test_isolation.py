"""Isolated calls: what a call on a thread or in a process costs, beside the standard library's pools.

Each round is a batch of calls awaited one by one, with threads and processes warm.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from inprocess.supervision.isolation import isolation

#: Calls timed together, and how often.
BATCH = 100
ROUNDS = 20

Call = Callable[[], Awaitable[object]]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()
    isolation.release()


def measure(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop, call: Call) -> None:
    async def batch() -> None:
        for _ in range(BATCH):
            await call()

    benchmark.pedantic(  # type: ignore[no-untyped-call] # pytest-benchmark has no types
        lambda: loop.run_until_complete(batch()), rounds=ROUNDS, warmup_rounds=1
    )


@pytest.mark.benchmark(group=f"thread, {BATCH} calls")
def test_thread_ours(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop) -> None:
    measure(benchmark, loop, lambda: isolation.run(abs, (-1,), "thread", name="abs"))


@pytest.mark.benchmark(group=f"thread, {BATCH} calls")
def test_thread_pool_of_the_standard_library(
    benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop
) -> None:
    with ThreadPoolExecutor(isolation.THREADS) as pool:
        measure(benchmark, loop, lambda: loop.run_in_executor(pool, abs, -1))


@pytest.mark.benchmark(group=f"process, {BATCH} calls")
def test_process_ours(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop) -> None:
    measure(benchmark, loop, lambda: isolation.run(abs, (-1,), "process", name="abs"))


@pytest.mark.benchmark(group=f"process, {BATCH} calls")
def test_process_pool_of_the_standard_library(
    benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop
) -> None:
    with ProcessPoolExecutor(isolation.PROCESSES, multiprocessing.get_context("spawn")) as pool:
        measure(benchmark, loop, lambda: loop.run_in_executor(pool, abs, -1))
