"""Fixtures of the journal's tests: a file, and journals that are closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inprocess.journal import DurableTask, Journal, task

#: Seconds that anything awaited may take.
PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def _tasks_and_journals_of_a_test_are_forgotten() -> Iterator[None]:
    tasks, journals = dict(task._tasks), list(task._journals)
    yield
    task._tasks.clear()
    task._tasks.update(tasks)
    task._journals[:] = journals


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a journal that is not there yet."""
    return f"sqlite:///{tmp_path / 'app.db'}"


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
