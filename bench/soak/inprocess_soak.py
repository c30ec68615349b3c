"""Soak of `inprocess`: millions of short tasks and many crashes, in a tree, without growth of memory.

    python -m bench.soak.inprocess_soak --tasks 10000000 --crashes 100000

Each batch starts its share of the tasks under one TaskSupervisor, lets children and servers
crash and come back, and waits until nothing is held. Memory is looked at between batches, after
a garbage collection: the allocated blocks of the interpreter, which one forgotten object in a
thousand makes visible, and the resident memory, which tells of leaks below Python. The first
WARM_UP of the batches fill caches and pools and do not count. Ends with exit code 1 on growth.
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
#: Looks at the memory; each is followed by an equal share of the work.
BATCHES = 100
#: Share of the batches that does not count.
WARM_UP = 0.2
#: Blocks that may be allocated more at the end; counters, caches and the samples themselves need some.
MAX_BLOCKS = 500
#: Bytes of resident memory that may be held more at the end; the allocator keeps some of what was freed.
MAX_RSS_BYTES = 8 * 2**20
#: Share of the crashes that are servers', under a Supervisor; the others are children's.
SERVER_CRASHES = 0.1
#: A window that never runs out: crashing is what this is about.
MAX_RESTARTS, MAX_SECONDS = 10**9, 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the memory."""

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

    def grown(self, look: Callable[[Sample], int]) -> int:
        """How much more the last third holds than the first third after the warm-up, each at its least."""
        counted = [look(sample) for sample in self.samples[int(WARM_UP * len(self.samples)) :]]
        third = max(1, len(counted) // 3)
        return min(counted[-third:]) - min(counted[:third])

    @property
    def blocks_grown(self) -> int:
        """Growth in allocated blocks."""
        return self.grown(lambda sample: sample.blocks)

    @property
    def rss_grown(self) -> int:
        """Growth in resident bytes."""
        return self.grown(lambda sample: sample.rss_bytes)

    @property
    def is_steady(self) -> bool:
        """Whether memory stayed within MAX_BLOCKS and MAX_RSS_BYTES."""
        return self.blocks_grown <= MAX_BLOCKS and self.rss_grown <= MAX_RSS_BYTES

    def __str__(self) -> str:
        """The result in three lines."""
        verdict = "steady" if self.is_steady else "GROWN"
        return (
            f"{self.tasks:,} tasks, {self.child_crashes:,} crashes of children and "
            f"{self.server_crashes:,} of servers in {self.seconds:,.0f} s\n"
            f"{1e6 * self.seconds / max(1, self.tasks):.2f} µs a task, crashes included\n"
            f"memory {verdict}: {self.blocks_grown:+,} blocks (at most {MAX_BLOCKS:,}), "
            f"{self.rss_grown / 2**20:+.1f} MiB resident (at most {MAX_RSS_BYTES / 2**20:.0f})"
        )


class Fragile(GenServer):
    """Crashes at each cast."""

    def handle_cast(self, message: object, /) -> None:
        """Crash."""
        raise RuntimeError(message)


async def soak(tasks: int, crashes: int, *, batches: int = BATCHES, done: Callable[[int], object]) -> Soak:
    """Run the tasks and crashes in batches; `done(batch)` is called after each."""
    result = Soak()
    began = time.monotonic()
    window = {"max_restarts": MAX_RESTARTS, "max_seconds": MAX_SECONDS}
    children = [
        ChildSpec("tasks", partial(TaskSupervisor.start, name="soak.tasks", **window)),  # type: ignore[arg-type]  # as they are
        ChildSpec("fragile", partial(Fragile.start, name="soak.fragile")),
    ]
    async with Supervisor.start(children, name="soak", **window):  # type: ignore[arg-type]  # as above
        for batch in range(1, batches + 1):
            await _run(result, tasks * batch // batches, crashes * batch // batches)
            gc.collect()
            result.samples.append(Sample(sys.getallocatedblocks(), _rss_bytes()))
            done(batch)
    result.seconds = time.monotonic() - began
    return result


async def _run(result: Soak, tasks: int, crashes: int) -> None:
    """Go on until that many of each are done since the beginning."""
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
    """Crash logs are made and thrown away."""
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
@click.option("--batches", default=BATCHES, show_default=True, help="Looks at the memory.")
def main(tasks: int, crashes: int, batches: int) -> None:
    """Soak `inprocess` and tell whether memory grew."""
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
