"""Fixtures of the journal's tests: a database of each kind, and journals that are closed at the end."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inprocess.journal import DurableTask, Journal, task

if TYPE_CHECKING:
    from bench.world.postgres import PostgresServer

#: Seconds that anything awaited may take.
PATIENCE_S = 30.0
#: The databases; a Python without psycopg has one alone, see tests/pythons.py.
STORES = ["sqlite", *(["postgresql"] if importlib.util.find_spec("psycopg") else [])]

_numbers = count()
_servers: list[PostgresServer] = []


@pytest.fixture(scope="session", autouse=True)
def _postgres(request: pytest.FixtureRequest) -> Iterator[None]:
    """A server, started before the first test, so that none seems to be left over by it."""
    is_needed = any("postgresql" in item.nodeid.lower() for item in request.session.items)
    if not is_needed or "postgresql" not in STORES:
        yield
        return
    from bench.world.postgres import PostgresServer, initdb

    if initdb() is None:
        yield
        return
    with PostgresServer() as server:
        _servers.append(server)
        yield
        _servers.clear()


def the_server() -> PostgresServer:
    """The server; skip the test, or fail it in CI, where PostgreSQL is not installed."""
    from bench.world.postgres import INSTALL

    if not _servers:
        if os.environ.get("CI"):
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    return _servers[0]


def new_url(store: str, folder: Path | None) -> str:
    """The URL of a journal that is not there yet, in a database of that kind; of SQLite in a folder."""
    if folder is not None and store == "sqlite":
        return f"sqlite:///{folder / 'app.db'}"
    return f"{the_server().url()}?schema=test_{os.getpid()}_{next(_numbers)}"


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement on a journal's database, beside the journal; tables are those of its schema."""
    if url.startswith("sqlite:"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()
    import psycopg

    address, _, schema = url.partition("?schema=")
    with psycopg.connect(address, autocommit=True, options=f"-csearch_path={schema},pg_catalog") as connected:
        cursor = connected.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(autouse=True)
def _tasks_and_journals_of_a_test_are_forgotten() -> Iterator[None]:
    tasks, journals = dict(task._tasks), list(task._journals)
    yield
    task._tasks.clear()
    task._tasks.update(tasks)
    task._journals[:] = journals


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """The kind of the database."""
    return str(request.param)


@pytest.fixture
def url(store: str, tmp_path: Path) -> str:
    """The URL of a journal that is not there yet."""
    return new_url(store, tmp_path)


@pytest.fixture
def make_journal(url: str) -> Iterator[Callable[..., Journal]]:
    """Makes journals of one file, which are closed at the end of the test."""
    made: list[Journal] = []

    def make(**options: Any) -> Journal:
        made.append(Journal(url, **options))
        return made[-1]

    yield make
    for journal in made:
        journal.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - of whatever kind it is
            await asyncio.sleep(0.005)


def run(work: Awaitable[object]) -> None:
    """Run a test's coroutine on a loop of its own."""

    async def here() -> None:
        await work

    asyncio.run(here())


def run_one(
    make_journal: Callable[..., Journal], task: DurableTask[Any, Any], *args: object, into: str = "done"
) -> None:
    """Enqueue one job in a journal that runs, and wait until it is in this set."""

    async def main() -> None:
        async with make_journal() as journal:
            await task.enqueue(*args, journal=journal)
            await until(getattr(journal, into).size)

    run(main())
