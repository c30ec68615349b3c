"""The journal beside a bare commit, and beside huey and DBOS on SQLite: the ratios are what counts.

    .venv/bin/python -m pytest bench/micro/journal/test_journal.py --benchmark-enable

One run, in turns, in one folder, with a sync at each commit. A turn is one of each way; medians are over the
turns. huey and DBOS are measured where they are installed, in `.cache/peers` or beside us (`pip install
--target .cache/peers huey==3.5.4 dbos==3.4.0`), each as its own documentation sets it up, on jobs that do
nothing; the journal has a codec and telemetry on.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.journal.measuring import (
    BURST,
    BURSTS,
    PEERS,
    Reversed,
    Samples,
    note,
    nothing,
    ran,
    replay,
    seconds_to_drain,
    starts_elsewhere,
    until,
    watch,
)
from inprocess.journal import Journal
from inprocess.journal.model import operations as op

#: Turns of single commits.
TURNS = 300
#: Jobs that are drained in a turn, turns, and jobs for DBOS, which takes long.
DRAINED, DRAINS, DRAINED_SLOWLY = 10_000, 3, 200

pytestmark = pytest.mark.timeout(900)
_numbers = count()


def fresh(folder: Path) -> str:
    return f"sqlite:///{folder}/{next(_numbers)}.db"


def bare_connection(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / f"{next(_numbers)}.db", isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table job (n integer primary key, args blob)")
    return connection


def bare_commit(connection: sqlite3.Connection) -> float:
    begin = time.perf_counter()
    connection.execute("begin immediate")
    connection.execute("insert into job (args) values (?)", (b"[[1]]",))
    connection.execute("commit")
    return time.perf_counter() - begin


# Enqueue beside one bare commit.


@pytest.fixture(scope="module")
def enqueues(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("enqueue")
    samples: dict[str, list[float]] = defaultdict(list)

    async def main() -> None:
        bare = bare_connection(folder)
        async with Journal(fresh(folder)) as journal:
            for number in range(TURNS):
                samples["bare commit"].append(bare_commit(bare))
                begin = time.perf_counter()
                await nothing.enqueue(number, journal=journal)
                samples["enqueue"].append(time.perf_counter() - begin)
                await asyncio.sleep(0.002)  # the job is done, and written
            for _ in range(BURSTS):
                begin = time.perf_counter()
                for number in range(BURST):
                    await nothing.enqueue(number, journal=journal)
                samples["one by one"].append((time.perf_counter() - begin) / BURST)
                begin = time.perf_counter()
                await asyncio.gather(*(nothing.enqueue(number, journal=journal) for number in range(BURST)))
                samples["at once"].append((time.perf_counter() - begin) / BURST)
        bare.close()

    asyncio.run(main())
    return samples


@pytest.mark.benchmark(group="enqueue one job, until it is on disk")
@pytest.mark.parametrize("way", ["bare commit", "enqueue"])
def test_enqueue(benchmark: BenchmarkFixture, enqueues: Samples, way: str) -> None:
    replay(benchmark, enqueues[way])


@pytest.mark.benchmark(group=f"enqueue a job among {BURST}, until all are on disk")
@pytest.mark.parametrize("way", ["one by one", "at once"])
def test_enqueue_at_once(benchmark: BenchmarkFixture, enqueues: Samples, way: str) -> None:
    replay(benchmark, enqueues[way])


# From the commit to the start.


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("starts")
    samples: dict[str, list[float]] = defaultdict(list)

    async def main() -> None:
        url = fresh(folder)
        committed = 0.0
        journal = Journal(url)

        def applied(operations: Sequence[op.AnyOperation]) -> None:
            nonlocal committed
            if any(isinstance(one, op.Enqueue) for one in operations):
                committed = time.monotonic()

        watch(journal, applied)
        async with journal:
            connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
            for number in range(TURNS):
                ran.clear()
                await note.enqueue(number, journal=journal)
                await until(lambda: bool(ran))
                samples["enqueue here"].append(ran[0] - committed)
                await asyncio.sleep(0.005)
                ran.clear()
                connection.execute("begin immediate")
                note.enqueue(number, within=connection, journal=journal)
                connection.execute("commit")
                committed = time.monotonic()
                await until(lambda: bool(ran))
                samples["within= here"].append(ran[0] - committed)
                await asyncio.sleep(0.005)
            connection.close()

    asyncio.run(main())
    pauses_s = [0.003 + 0.0001 * (number % 200) for number in range(TURNS)]  # at any moment between two looks
    samples["another process"] = starts_elsewhere(fresh(folder), pauses_s)
    return samples


@pytest.mark.benchmark(group="from the commit to the start of the job")
@pytest.mark.parametrize("way", ["enqueue here", "within= here", "another process"])
def test_start(benchmark: BenchmarkFixture, starts: Samples, way: str) -> None:
    replay(benchmark, [max(0.0, seconds) for seconds in starts[way]])


# Drain.


async def drain_journal(folder: Path, held: list[float]) -> float:
    """Seconds for DRAINED jobs, from the start of the process to the last one; what held the loop, CPU s."""
    url = fresh(folder)
    journal = Journal(url, codecs=[Reversed()])
    journal.open()
    with sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None) as connection:
        connection.execute("begin immediate")
        for number in range(DRAINED):
            note.enqueue(number, within=connection, journal=journal)
        connection.execute("commit")
    connection.close()
    with _holding(held):
        return await seconds_to_drain(journal, DRAINED)


@contextmanager
def _holding(held: list[float]) -> Iterator[None]:
    """Note the CPU seconds of each callback of the loop."""
    run = asyncio.Handle._run  # noqa: SLF001 - what holds the loop

    def timed(self: asyncio.Handle) -> None:
        begin = time.thread_time()
        run(self)
        held.append(time.thread_time() - begin)

    asyncio.Handle._run = timed  # type: ignore[method-assign]  # noqa: SLF001 - as above
    try:
        yield
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001 - as above


def drain_huey(folder: Path, workers: int) -> float:
    """Seconds for a tenth of DRAINED jobs on SqliteHuey, times ten."""
    from huey import SqliteHuey  # type: ignore[import-not-found]  # late: may not be installed

    jobs = DRAINED // 10
    huey = SqliteHuey(filename=str(folder / f"{next(_numbers)}.db"))
    logging.getLogger("huey").setLevel(logging.WARNING)
    done = []
    task = huey.task()(lambda number: done.append(number))  # noqa: PLW0108 - a method has no module
    for number in range(jobs):
        task(number)
    consumer = huey.create_consumer(workers=workers, periodic=False, initial_delay=0.01)
    begin = time.perf_counter()
    consumer.start()
    while len(done) < jobs:
        time.sleep(0.001)
    seconds = time.perf_counter() - begin
    consumer.stop(graceful=True)
    return seconds * DRAINED / jobs


DBOS = """
import sys, time
sys.path.append(sys.argv[3])
from dbos import DBOS

config = {"name": "drain", "system_database_url": sys.argv[1], "run_admin_server": False}
DBOS(config=config | {"log_level": "ERROR"})
done = []

@DBOS.workflow()
def job(number):
    done.append(number)

DBOS.launch()
DBOS.register_queue("drain")
jobs = int(sys.argv[2])
handles = [DBOS.enqueue_workflow("drain", job, number) for number in range(jobs)]
left, begin = jobs - len(done), time.perf_counter()
while len(done) < jobs:
    time.sleep(0.001)
handles[-1].get_result()
print((time.perf_counter() - begin) / max(1, left), flush=True)
DBOS.destroy()
"""


def drain_dbos(folder: Path) -> float:
    """Seconds for DRAINED_SLOWLY jobs on DBOS, in proportion for DRAINED."""
    url = f"sqlite:///{folder / f'{next(_numbers)}.db'}"
    command = [sys.executable, "-c", DBOS, url, str(DRAINED_SLOWLY), str(PEERS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) * DRAINED


@pytest.fixture(scope="module")
def drains(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("drain")
    samples: dict[str, list[float]] = defaultdict(list)
    held: list[float] = []
    ways: dict[str, Callable[[], float]] = {
        "journal": lambda: asyncio.run(_measured(drain_journal(folder, held)))
    }
    if PEERS.is_dir():
        sys.path.append(str(PEERS))
    if importlib.util.find_spec("huey"):
        ways |= {f"huey, {n} workers": lambda n=n: drain_huey(folder, n) for n in (1, 4)}  # type: ignore[misc]
    if importlib.util.find_spec("dbos"):
        ways["DBOS"] = lambda: drain_dbos(folder)
    for _ in range(DRAINS):
        for way, drain in ways.items():
            samples[way].append(drain())
    samples["held"] = sorted(held)
    return samples


async def _measured(work: Coroutine[Any, Any, float]) -> float:
    return await work


@pytest.mark.benchmark(group=f"drain {DRAINED} jobs that do nothing")
@pytest.mark.parametrize("way", ["journal", "huey, 1 workers", "huey, 4 workers", "DBOS"])
def test_drain(benchmark: BenchmarkFixture, drains: Samples, way: str) -> None:
    if way not in drains:
        pytest.skip("not installed: pip install --target .cache/peers huey==3.5.4 dbos==3.4.0")
    benchmark.extra_info["longest callback, ms of CPU"] = drains["held"][-1] * 1e3
    benchmark.extra_info["jobs a second"] = DRAINED / median(drains[way])
    replay(benchmark, drains[way])
