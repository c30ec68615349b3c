"""The journal in PostgreSQL beside a bare commit, and beside huey and Procrastinate there: ratios count.

    .venv/bin/python -m pytest bench/micro/journal/test_journal_postgresql.py --benchmark-enable

One run, in turns, on one server of our own that syncs at each commit. huey and Procrastinate are measured
where they are installed (`pip install --target .cache/peers huey==3.5.4 procrastinate==3.10.0`), on jobs that
do nothing: huey with its default of one worker and with four, Procrastinate with its default of one job at
once and with a hundred. The journal has a codec and telemetry on.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import count
from statistics import median
from typing import Any

import psycopg
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
from bench.world.postgres import INSTALL, PostgresServer, initdb
from inprocess.journal import Journal
from inprocess.journal.model import operations as op

#: Turns of single commits, and of starts.
TURNS = 200
#: Jobs that are drained in a turn, turns, and jobs for peers, which take long.
DRAINED, DRAINS, DRAINED_BY_HUEY, DRAINED_SLOWLY = 10_000, 3, 1_000, 200

pytestmark = pytest.mark.timeout(900)
_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    if initdb() is None:
        pytest.skip(INSTALL)
    with PostgresServer(syncs=True) as running:
        yield running


def fresh(server: PostgresServer) -> str:
    return f"{server.url()}?schema=micro_{next(_numbers)}"


# Enqueue beside one bare commit.


@pytest.fixture(scope="module")
def enqueues(server: PostgresServer) -> Samples:
    samples: dict[str, list[float]] = defaultdict(list)

    def bare_commit(connection: psycopg.Connection[Any]) -> float:
        begin = time.perf_counter()
        connection.execute("insert into bare (args) values (%s)", (b"[[1]]",))
        return time.perf_counter() - begin

    async def main() -> None:
        with psycopg.connect(server.url(), autocommit=True) as bare:
            bare.execute("create table bare (n bigint generated always as identity primary key, args bytea)")
            commits: list[int] = []
            journal = Journal(fresh(server))
            watch(journal, lambda operations: commits.append(any(each.writes for each in operations)))
            async with journal:
                await asyncio.sleep(1.5)  # it has looked for others
                for number in range(TURNS):
                    samples["bare commit"].append(bare_commit(bare))
                    begin = time.perf_counter()
                    await nothing.enqueue(number, journal=journal)
                    samples["enqueue"].append(time.perf_counter() - begin)
                    await asyncio.sleep(0.003)  # the job is done, and written
                for _ in range(BURSTS):
                    commits.clear()
                    begin = time.perf_counter()
                    for number in range(BURST):
                        await nothing.enqueue(number, journal=journal)
                    samples["one by one"].append((time.perf_counter() - begin) / BURST)
                    samples["commits one by one"].append(sum(commits))
                    commits.clear()
                    begin = time.perf_counter()
                    await asyncio.gather(
                        *(nothing.enqueue(number, journal=journal) for number in range(BURST))
                    )
                    samples["at once"].append((time.perf_counter() - begin) / BURST)
                    samples["commits at once"].append(sum(commits))

    asyncio.run(main())
    return samples


@pytest.mark.benchmark(group="PostgreSQL: enqueue one job, until it is on disk")
@pytest.mark.parametrize("way", ["bare commit", "enqueue"])
def test_enqueue(benchmark: BenchmarkFixture, enqueues: Samples, way: str) -> None:
    replay(benchmark, enqueues[way])


@pytest.mark.benchmark(group=f"PostgreSQL: enqueue a job among {BURST}, until all are on disk")
@pytest.mark.parametrize("way", ["one by one", "at once"])
def test_enqueue_at_once(benchmark: BenchmarkFixture, enqueues: Samples, way: str) -> None:
    benchmark.extra_info["commits of a burst"] = median(enqueues[f"commits {way}"])
    replay(benchmark, enqueues[way])


# From the commit to the start.


@pytest.fixture(scope="module")
def starts(server: PostgresServer) -> Samples:
    samples: dict[str, list[float]] = defaultdict(list)
    url = fresh(server)

    async def main() -> None:
        committed = 0.0
        journal = Journal(url)

        def applied(operations: Sequence[op.AnyOperation]) -> None:
            nonlocal committed
            if any(isinstance(one, op.Enqueue) for one in operations):
                committed = time.monotonic()

        watch(journal, applied)
        async with journal:
            with psycopg.connect(server.url()) as connection:
                for number in range(TURNS):
                    ran.clear()
                    await note.enqueue(number, journal=journal)
                    await until(lambda: bool(ran))
                    samples["enqueue here"].append(ran[0] - committed)
                    await asyncio.sleep(0.005)
                    ran.clear()
                    note.enqueue(number, within=connection, journal=journal)
                    connection.commit()
                    committed = time.monotonic()
                    await until(lambda: bool(ran))
                    samples["within= here"].append(ran[0] - committed)
                    await asyncio.sleep(0.005)

    asyncio.run(main())
    samples["another process"] = starts_elsewhere(fresh(server), [0.005] * TURNS)
    return samples


@pytest.mark.benchmark(group="PostgreSQL: from the commit to the start of the job")
@pytest.mark.parametrize("way", ["enqueue here", "within= here", "another process"])
def test_start(benchmark: BenchmarkFixture, starts: Samples, way: str) -> None:
    replay(benchmark, [max(0.0, seconds) for seconds in starts[way]])


# Drain.


async def drain_journal(server: PostgresServer) -> float:
    """Seconds for DRAINED jobs, from the start of the process to the last one."""
    journal = Journal(fresh(server), codecs=[Reversed()])
    journal.open()
    with psycopg.connect(server.url()) as connection:
        for number in range(DRAINED):
            note.enqueue(number, within=connection, journal=journal)
    return await seconds_to_drain(journal, DRAINED)


#: In a process of its own: it leaves its connections to the garbage collector.
HUEY = """
import logging, sys, time
sys.path.append(sys.argv[4])
from huey import PostgresHuey

logging.getLogger("huey").setLevel(logging.WARNING)
huey = PostgresHuey(sys.argv[1], dsn=sys.argv[5])
done = []

@huey.task()
def job(number):
    done.append(number)

jobs = int(sys.argv[2])
for number in range(jobs):
    job(number)
consumer = huey.create_consumer(workers=int(sys.argv[3]), periodic=False, initial_delay=0.01)
begin = time.perf_counter()
consumer.start()
while len(done) < jobs:
    time.sleep(0.001)
print(time.perf_counter() - begin, flush=True)
consumer.stop(graceful=True)
"""


def drain_huey(server: PostgresServer, workers: int) -> float:
    """Seconds for DRAINED_BY_HUEY jobs on PostgresHuey, in proportion for DRAINED."""
    about = (f"huey{next(_numbers)}", str(DRAINED_BY_HUEY), str(workers), str(PEERS), server.url())
    command = [sys.executable, "-c", HUEY, *about]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) * DRAINED / DRAINED_BY_HUEY


async def drain_procrastinate(server: PostgresServer, concurrency: int) -> float:
    """Seconds for DRAINED_SLOWLY jobs on Procrastinate, in proportion for DRAINED."""
    from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]  # late: may not be there

    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    name = f"procrastinate{next(_numbers)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    app = App(connector=PsycopgConnector(conninfo=server.url(name)))
    done: list[int] = []

    @app.task  # type: ignore[untyped-decorator]  # of what may not be there
    async def job(number: int) -> None:
        done.append(number)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await job.batch_defer_async(*({"number": number} for number in range(DRAINED_SLOWLY)))
        begin = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=concurrency, install_signal_handlers=False)
        assert len(done) == DRAINED_SLOWLY
        return (time.perf_counter() - begin) * DRAINED / DRAINED_SLOWLY


@pytest.fixture(scope="module")
def drains(server: PostgresServer) -> Samples:
    samples: dict[str, list[float]] = defaultdict(list)
    ways: dict[str, Callable[[], float]] = {"journal": lambda: asyncio.run(_measured(drain_journal(server)))}
    if PEERS.is_dir():
        sys.path.append(str(PEERS))
    if importlib.util.find_spec("huey"):
        ways |= {f"huey, {n} workers": lambda n=n: drain_huey(server, n) for n in (1, 4)}  # type: ignore[misc]
    if importlib.util.find_spec("procrastinate"):
        ways |= {
            f"Procrastinate, {n} at once": lambda n=n: asyncio.run(_measured(drain_procrastinate(server, n)))  # type: ignore[misc]
            for n in (1, 100)
        }
    for _ in range(DRAINS):
        for way, drain in ways.items():
            samples[way].append(drain())
    return samples


async def _measured(work: Coroutine[Any, Any, float]) -> float:
    return await work


@pytest.mark.benchmark(group=f"PostgreSQL: drain {DRAINED} jobs that do nothing")
@pytest.mark.parametrize(
    "way",
    [
        "journal",
        "huey, 1 workers",
        "huey, 4 workers",
        "Procrastinate, 1 at once",
        "Procrastinate, 100 at once",
    ],
)
def test_drain(benchmark: BenchmarkFixture, drains: Samples, way: str) -> None:
    if way not in drains:
        pytest.skip("not installed: pip install --target .cache/peers huey==3.5.4 procrastinate==3.10.0")
    benchmark.extra_info["jobs a second"] = DRAINED / median(drains[way])
    replay(benchmark, drains[way])
