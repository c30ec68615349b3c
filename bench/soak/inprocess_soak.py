"""Soak of `inprocess`: millions of short tasks and many crashes in one tree; memory must not grow.

    python -m bench.soak.inprocess_soak --tasks 10000000 --crashes 100000

Each batch starts its share of the tasks under one TaskSupervisor, lets children and servers crash and
restart, and waits until all have ended. After each batch and a garbage collection, memory is sampled: the
interpreter's allocated blocks, which show one forgotten object in a thousand, and the resident memory,
which shows leaks below Python. The first WARM_UP of the batches fill caches and pools and do not count.
Exit with 1 where memory grew.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from inprocess.supervision.core.names import whereis
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.supervisor import ChildSpec, Supervisor
from inprocess.supervision.tasks.child import current_attempt
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

#: Tasks and crashes of the whole run.
TASKS, CRASHES = 10_000_000, 100_000
#: Batches of equal work; memory is sampled after each.
BATCHES = 100
#: Share of the batches at the beginning that does not count.
WARM_UP = 0.2
#: The most blocks that may be added; counters, caches and the samples themselves need some.
MAX_BLOCKS = 500
#: The most bytes of resident memory that may be added; the allocator keeps some of what was freed.
MAX_RSS_BYTES = 8 * 2**20
#: Share of the crashes that happen in servers under a Supervisor; the others happen in children.
SERVER_CRASHES = 0.1
#: A restart limit that is never reached, as every task crashes on purpose.
MAX_RESTARTS, MAX_SECONDS = 10**9, 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """The memory after one batch."""

    blocks: int
    rss_bytes: int


@dataclass(slots=True)
class Soak:
    """What was done, and the memory after each batch."""

    tasks: int = 0
    child_crashes: int = 0
    server_crashes: int = 0
    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)

    def growth(self, size: Callable[[Sample], int]) -> int:
        """Return the smallest size of the last third minus that of the first third after the warm-up."""
        counted = [size(sample) for sample in self.samples[int(WARM_UP * len(self.samples)) :]]
        third = max(1, len(counted) // 3)
        return min(counted[-third:]) - min(counted[:third])

    @property
    def blocks_growth(self) -> int:
        """Growth in allocated blocks."""
        return self.growth(lambda sample: sample.blocks)

    @property
    def rss_growth(self) -> int:
        """Growth in resident bytes."""
        return self.growth(lambda sample: sample.rss_bytes)

    @property
    def is_steady(self) -> bool:
        """Whether memory stayed within MAX_BLOCKS and MAX_RSS_BYTES."""
        return self.blocks_growth <= MAX_BLOCKS and self.rss_growth <= MAX_RSS_BYTES

    def __str__(self) -> str:
        """The result in three lines."""
        verdict = "steady" if self.is_steady else "GROWN"
        return (
            f"{self.tasks:,} tasks, {self.child_crashes:,} crashes of children and "
            f"{self.server_crashes:,} of servers in {self.seconds:,.0f} s\n"
            f"{1e6 * self.seconds / max(1, self.tasks):.2f} µs a task, crashes included\n"
            f"memory {verdict}: {self.blocks_growth:+,} blocks (at most {MAX_BLOCKS:,}), "
            f"{self.rss_growth / 2**20:+.1f} MiB resident (at most {MAX_RSS_BYTES / 2**20:.0f})"
        )


class Fragile(GenServer):
    """Crashes at each cast."""

    def handle_cast(self, message: object, /) -> None:
        """Crash."""
        raise RuntimeError(message)


async def soak(tasks: int, crashes: int, *, batches: int = BATCHES, done: Callable[[int], object]) -> Soak:
    """Run the tasks and crashes in batches; call `done(batch)` after each."""
    result = Soak()
    began = time.monotonic()
    children = [
        ChildSpec(
            "tasks",
            partial(
                TaskSupervisor.start, name="soak.tasks", max_restarts=MAX_RESTARTS, max_seconds=MAX_SECONDS
            ),
        ),
        ChildSpec("fragile", partial(Fragile.start, name="soak.fragile")),
    ]
    async with Supervisor.start(children, name="soak", max_restarts=MAX_RESTARTS, max_seconds=MAX_SECONDS):
        for batch in range(1, batches + 1):
            await _run(result, tasks * batch // batches, crashes * batch // batches)
            gc.collect()
            result.samples.append(Sample(sys.getallocatedblocks(), _rss_bytes()))
            done(batch)
    result.seconds = time.monotonic() - began
    return result


async def _run(result: Soak, tasks: int, crashes: int) -> None:
    """Run until so many tasks and crashes have been done since the beginning."""
    supervisor = whereis("soak.tasks")
    assert isinstance(supervisor, TaskSupervisor)  # noqa: S101 - the tree says so
    for _ in range(tasks - result.tasks):
        supervisor.start_child(_succeed, result, restart="transient")
    for _ in range(int((1 - SERVER_CRASHES) * crashes) - result.child_crashes):
        supervisor.start_child(_fail_once, result, restart="transient")
    await supervisor.idle()
    for _ in range(crashes - int((1 - SERVER_CRASHES) * crashes) - result.server_crashes):
        await _crash_server()
        result.server_crashes += 1


async def _succeed(result: Soak) -> None:
    result.tasks += 1


async def _fail_once(result: Soak) -> None:
    if current_attempt() == 1:
        result.child_crashes += 1
        raise RuntimeError(current_attempt())


async def _crash_server() -> None:
    before = whereis("soak.fragile")
    assert isinstance(before, Fragile)  # noqa: S101 - the tree says so
    before.cast("crash")
    await before.wait()
    while whereis("soak.fragile") is None:  # noqa: ASYNC110 - each turn the supervisor may restart it
        await asyncio.sleep(0)


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _silent() -> Iterator[None]:
    """Format crash logs and drop them."""
    log = logging.getLogger("inprocess")
    handler, log.propagate = logging.NullHandler(), False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = True


@click.command()
@click.option("--tasks", default=TASKS, show_default=True, help="Short tasks in all.")
@click.option("--crashes", default=CRASHES, show_default=True, help="Crashes in all.")
@click.option("--batches", default=BATCHES, show_default=True, help="Batches; memory is sampled after each.")
def main(tasks: int, crashes: int, batches: int) -> None:
    """Soak `inprocess` and print whether memory grew."""
    console = Console()
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar, _silent():
        task = bar.add_task("batches", total=batches)
        result = asyncio.run(
            soak(tasks, crashes, batches=batches, done=lambda batch: bar.update(task, completed=batch))
        )
    console.print(str(result), highlight=False)
    sys.exit(not result.is_steady)


if __name__ == "__main__":
    main()
