"""A power failure: what was not synced is gone. Shown by a file layer under SQLite that can undo it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest

from bench.soak.journal_service import Service
from inprocess.journal import Journal

ROOT = Path(__file__).parents[3]
SOURCE = Path(__file__).with_name("unsynced.c")
#: Enqueues that are acknowledged before the power fails, at least.
ACKNOWLEDGED = 60
PATIENCE_S = 60.0

PROGRAM = """
import asyncio, os, sys
from inprocess.journal import Journal, durable

@durable(name="note", retry=None)
async def note(name): ...

async def enqueue(reader, writer, name, journal):
    await note.enqueue(name, journal=journal, delay_s=3600)
    writer.write(f"accepted {name} {os.getpid()} 0\\n".encode())
    assert await reader.readline() == b"ok\\n"

async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    async with Journal(sys.argv[1], durability=sys.argv[3]) as journal:
        number = 0
        while True:
            await enqueue(reader, writer, str(number), journal)
            number += 1

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled file layer."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler: apt-get install gcc")
    made = tmp_path_factory.mktemp("layer") / "unsynced.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl", "-lpthread"], check=True
    )
    return made


def undo_what_was_not_synced(log: Path) -> int:
    """Undo, last first, the writes to each file since its last sync; return how many."""
    unsynced: dict[str, list[tuple[int, int, bytes]]] = {}
    with log.open("rb") as records:
        while head := records.readline():
            kind, path, *numbers = head.decode().split()
            if kind == "s":
                unsynced[path] = []
                continue
            offset, old_size, length = map(int, numbers)
            unsynced.setdefault(path, []).append((offset, old_size, records.read(length)))
    for path, writes in unsynced.items():
        with Path(path).open("r+b") as file:
            for offset, old_size, old in reversed(writes):
                file.seek(offset)
                file.write(old)
                file.truncate(old_size)
    return sum(map(len, unsynced.values()))


def fail_power(folder: Path, layer: Path, durability: str) -> tuple[set[str], set[str], int]:
    """Enqueue until the power fails; return what was acknowledged, what is there, and how much was undone."""
    url, log = f"sqlite:///{folder}/app.db", folder / "undo.log"
    journal = Journal(url)
    journal.open()
    journal.close()
    watched = {"UNSYNCED_PREFIX": f"{folder}/app.db", "UNSYNCED_LOG": str(log)}
    env = {**os.environ, **watched, "LD_PRELOAD": str(layer)}
    with Service() as service:
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM), url, str(service.port), durability]
        with subprocess.Popen(command, env=env, cwd=ROOT) as process:
            deadline = time.monotonic() + PATIENCE_S
            while len(service.names("accepted")) < ACKNOWLEDGED:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.kill()
        acknowledged = service.names("accepted")
    undone = undo_what_was_not_synced(log)
    (folder / "app.db-shm").unlink(missing_ok=True)  # is memory, and gone
    with closing(sqlite3.connect(folder / "app.db")) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    journal = Journal(url)
    there = {journal.codecs.loads(None, job.row.args)[0][0] for job in journal.scheduled}
    journal.close()
    return acknowledged, there, undone


def test_full_keeps_everything_that_was_acknowledged(tmp_path: Path, layer: Path) -> None:
    for turn in range(3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        acknowledged, there, _ = fail_power(folder, layer, "full")
        assert acknowledged - there == set()


def test_normal_may_lose_what_was_committed_last_and_damages_nothing(tmp_path: Path, layer: Path) -> None:
    acknowledged, there, undone = fail_power(tmp_path, layer, "normal")
    assert undone > 0
    lost = {int(name) for name in acknowledged - there}
    assert lost  # else the layer drops nothing
    assert lost == {number for number in map(int, acknowledged) if number >= min(lost)}  # the last ones
