"""Tasks' costs beside bare `asyncio.create_task`, in one run: the ratios are what counts.

    .venv/bin/python -m pytest bench/micro/test_tasks.py --benchmark-enable

A burst of BURST trivial coroutines, in two groups: what handing them over costs the caller, and
all of it until the last one has ended. The bare way is the one of asyncio's manual, a set that
holds each task until it is done. Divide by BURST for one task. CPU time of this process, so that
a busy machine does no more than blur it; the garbage collector works, since 100,000 objects that
live at once are part of the price.

`Task.start` is at 1.36 to 1.48 of `start_child` for the hand-over, and at 1.00 to 1.14 to the end (8
turns, load 25); the bar is 1.15. What is left of the hand-over is the look at the calling line
(`sys._getframe`, two attributes of the frame), 0.1 µs, which a log needs of a task that has no supervisor.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from inprocess import Task, TaskSupervisor
from inprocess.supervision.tasks.task import unlinked

#: Tasks of one round.
BURST = 100_000
ROUNDS = 3

Way = Callable[[], Coroutine[Any, Any, tuple[float, float]]]


async def nothing() -> None:
    """The smallest job."""


async def create_task() -> tuple[float, float]:
    running: set[asyncio.Task[None]] = set()
    begin = time.process_time()
    for _ in range(BURST):
        task = asyncio.create_task(nothing())
        running.add(task)
        task.add_done_callback(running.discard)
    handed_over = time.process_time()
    while running:  # noqa: ASYNC110 - an event would cost what is measured
        await asyncio.sleep(0)
    return handed_over - begin, time.process_time() - begin


async def start_child() -> tuple[float, float]:
    supervisor = TaskSupervisor.start()
    begin = time.process_time()
    for _ in range(BURST):
        supervisor.start_child(nothing, restart="transient")
    handed_over = time.process_time()
    await supervisor.idle()
    return handed_over - begin, time.process_time() - begin


async def task_start() -> tuple[float, float]:
    supervisor = unlinked(asyncio.get_running_loop())
    begin = time.process_time()
    for _ in range(BURST):
        Task.start(nothing)
    handed_over = time.process_time()
    await supervisor.idle()
    return handed_over - begin, time.process_time() - begin


WAYS = [create_task, start_child, task_start]


class Spent:
    """A clock for pytest-benchmark that reads what the rounds so far have spent."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def timed(benchmark: BenchmarkFixture, way: Way, part: int) -> None:
    """Time a part of a burst, in rounds on a fresh loop each."""
    spent = benchmark._timer = Spent()  # noqa: SLF001 - only a part of the function is timed

    def once() -> None:
        gc.collect()
        gc.enable()  # which pytest-benchmark disables
        spent.seconds += asyncio.run(way())[part]

    benchmark.pedantic(  # type: ignore[no-untyped-call] # pytest-benchmark has no types
        once, rounds=ROUNDS
    )


@pytest.mark.benchmark(group=f"hand {BURST} tasks over")
@pytest.mark.parametrize("way", WAYS)
def test_hand_over(benchmark: BenchmarkFixture, way: Way) -> None:
    timed(benchmark, way, 0)


@pytest.mark.benchmark(group=f"hand {BURST} tasks over and run them to their end")
@pytest.mark.parametrize("way", WAYS)
def test_to_the_end(benchmark: BenchmarkFixture, way: Way) -> None:
    timed(benchmark, way, 1)
