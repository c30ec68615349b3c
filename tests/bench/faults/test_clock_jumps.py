from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.faults import clock_shift
from bench.faults.processes import clock_jumps

#: Tells the wall clock three ways and the monotonic one, a line for each line that it reads.
PROGRAM = """
import sys, time
from datetime import UTC, datetime
for _ in sys.stdin:
    print(time.time(), datetime.now(UTC).timestamp(), time.localtime().tm_year, time.monotonic(), flush=True)
"""


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program whose wall clock the fault can move."""
    if missing := clock_shift.unavailable():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    env = {**os.environ, **clock_shift.preloaded(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
    ) as process:
        yield process
        process.kill()


def told(clock: subprocess.Popen[str]) -> list[float]:
    assert clock.stdin is not None
    assert clock.stdout is not None
    clock.stdin.write("\n")
    clock.stdin.flush()
    return [float(word) for word in clock.stdout.readline().split()]


def test_the_wall_clock_jumps_and_the_monotonic_one_does_not(
    clock: subprocess.Popen[str], tmp_path: Path
) -> None:
    before = told(clock)
    for jump_s in clock_jumps.JUMPS_S:
        clock_shift.shift_clock(tmp_path / clock_shift.SHIFT, jump_s)
        now = told(clock)
        passed = now[3] - before[3]
        assert 0 <= passed < 30
        for way in (0, 1):
            assert now[way] - before[way] == pytest.approx(jump_s + passed, abs=1)
