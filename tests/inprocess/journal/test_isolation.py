"""Durable tasks that run in a process of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from inprocess.journal import Journal, durable
from tests.inprocess.journal.conftest import run, until


@durable(isolation="process")
def note_process(path: str) -> None:
    Path(path).write_text(str(os.getpid()))


def test_a_task_with_process_isolation_runs_in_another_process(
    make_journal: Callable[..., Journal], tmp_path: Path
) -> None:
    async def main() -> None:
        async with make_journal() as journal:
            await note_process.enqueue(str(tmp_path / "pid"), journal=journal)
            await until(lambda: journal.done.size() or journal.retries.size())
            assert [job.error for job in journal.retries] == []

    run(main())
    assert int((tmp_path / "pid").read_text()) != os.getpid()
