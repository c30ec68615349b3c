"""The guardian and the process table: nothing that a run starts outlives it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from hypothesis import given
from hypothesis import strategies as st

from bench.process.guardian import remaining
from bench.process.process_table import ProcessTable

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]

#: A run that starts a sleeper, tells its pid and is then killed.
RUN = f"""
import os, signal, sys, time
from pathlib import Path
from bench.process.process_table import ProcessTable
table = ProcessTable()
print(table.start("sleeper", {SLEEPER!r}, env=os.environ, folder=Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""


def gone(pid: int, within_s: float = 20.0) -> bool:
    try:
        process = psutil.Process(pid)
        process.wait(within_s)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    return True


@given(st.lists(st.tuples(st.sampled_from("+-"), st.integers(1, 5))))
def test_what_was_announced_and_not_taken_back_remains(words: list[tuple[str, int]]) -> None:
    alive: set[int] = set()
    for sign, number in words:
        alive = alive | {number} if sign == "+" else alive - {number}
    assert set(remaining(f"{sign} {number}\n" for sign, number in words)) == alive


def test_a_line_that_is_no_announcement_is_passed_over() -> None:
    assert remaining(["+ 12\n", "garbage\n", "+\n", "- 13\n"]) == [12]


def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run.stdout:
        sleeper = int(run.stdout.readline())
    assert psutil.pid_exists(sleeper)
    run.kill()
    run.wait()
    assert gone(sleeper)


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER[-1]}"

    async def main() -> int | None:
        with ProcessTable() as table:
            process = table.start(
                "stubborn", [sys.executable, "-c", stubborn], env=os.environ, folder=tmp_path
            )
            while "up" not in process.tail():  # noqa: ASYNC110 - another process's output is the event
                await asyncio.sleep(0.01)
            await table.stop(process, grace_s=0.1)
            return process.exit_code()

    assert asyncio.run(main()) == -signal.SIGKILL


def test_a_paused_process_ends_all_the_same(tmp_path: Path) -> None:
    async def main() -> int | None:
        with ProcessTable() as table:
            process = table.start("sleeper", SLEEPER, env=os.environ, folder=tmp_path)
            process.signal(signal.SIGSTOP)
            await table.stop(process)
            return process.exit_code()

    assert asyncio.run(main()) == -signal.SIGTERM


def test_leaving_the_table_ends_what_was_not_stopped(tmp_path: Path) -> None:
    with ProcessTable() as table:
        pid = table.start("sleeper", SLEEPER, env=os.environ, folder=tmp_path).pid
    assert gone(pid)
