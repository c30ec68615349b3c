"""What a run learns of the processes that it has started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from bench.process.process_table import Process, ProcessTable, failed_exit_codes

PATIENCE_S = 20.0
#: Burns so many seconds of processor time, says so, and waits.
BURN = """
import pathlib, time
while time.process_time() < {burn_s}: pass
pathlib.Path("{name}.burnt").touch()
{then}
"""
STAY = "time.sleep(60)"
BURN_S = 0.4


def test_a_part_that_ended_with_an_error_is_told_and_one_that_was_stopped_is_not(tmp_path: Path) -> None:
    bodies = {
        "worker": "raise SystemExit(3)",
        "beat": "pass",
        "app": "import time; time.sleep(60)",
        "replica": "import time; time.sleep(60)",
    }
    with ProcessTable() as table:
        parts = {
            name: table.start(name, [sys.executable, "-c", body], env={}, folder=tmp_path)
            for name, body in bodies.items()
        }
        parts["replica"].kill()
        for name in ("worker", "beat", "replica"):
            asyncio.run(parts[name].ended(within_s=PATIENCE_S))
        assert failed_exit_codes(parts) == {"worker": 3}


def burning(table: ProcessTable, folder: Path, body: str) -> Process:
    """A process that has burnt BURN_S, itself or by its child."""
    process = table.start("burner", [sys.executable, "-c", body], env={}, folder=folder)
    until_s = time.monotonic() + PATIENCE_S
    while not (folder / "it.burnt").exists():
        assert time.monotonic() < until_s
        time.sleep(0.02)
    return process


def body_of(*, then: str = STAY) -> str:
    return BURN.format(burn_s=BURN_S, name="it", then=then)


def by_child(body: str, *, then: str = STAY) -> str:
    return f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {body!r}])\n{then}"


@pytest.mark.parametrize(
    "body",
    [body_of(), body_of(then=""), by_child(body_of()), by_child(body_of(then=""))],
    ids=["itself", "itself, and ended", "its child", "its child, which ended"],
)
def test_the_processor_time_of_a_process_and_its_children_is_known_until_a_kill_and_after_it(
    tmp_path: Path, body: str
) -> None:
    with ProcessTable() as table:
        process = burning(table, tmp_path, body)
        alive_s = process.cpu_s()
        process.kill()
        assert process.cpu_s() >= max(alive_s, BURN_S)


def test_the_exit_code_and_processor_time_of_a_process_that_ended_by_itself_are_known(tmp_path: Path) -> None:
    with ProcessTable() as table:
        process = burning(table, tmp_path, body_of(then="raise SystemExit(3)"))
        assert asyncio.run(process.ended(within_s=PATIENCE_S))
        assert process.exit_code() == 3
        assert process.cpu_s() >= BURN_S


def test_a_process_whose_end_something_else_has_waited_for_is_no_error(tmp_path: Path) -> None:
    with ProcessTable() as table:
        process = table.start("app", [sys.executable, "-c", ""], env={}, folder=tmp_path)
        os.waitpid(process.pid, 0)
        assert process.exit_code() is not None
        process.signal(signal.SIGTERM)
