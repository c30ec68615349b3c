"""The soak of the journal, ended from outside: its processes end with it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.signals import ended_by

ROOT = Path(__file__).parents[3]


def two_apps(family: list[psutil.Process]) -> bool:
    return len(family) >= 2


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_it_with_all_that_it_started(tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "bench.soak.journal_soak"]
    ended, said = ended_by(
        number, command, begun=two_apps, env={**os.environ, "TMPDIR": str(tmp_path)}, cwd=ROOT
    )
    assert ended == code, said
    if number != signal.SIGKILL:
        assert said == "interrupted: no job was counted; its journal is deleted\n"
        assert list(tmp_path.iterdir()) == []
