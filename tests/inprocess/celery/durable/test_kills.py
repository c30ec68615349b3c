"""kill -9 of a process that runs a Celery app on a journal, at each point; then it is started again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from inprocess.journal import Journal

APP = Path(__file__).parent / "killed_app.py"
PATIENCE_S = 60.0
#: What each task of the app writes, whatever becomes of the process.
EFFECTS = "a,b,c,p1,p2,p3,p4,body,l,linked,try-0,try-1,try-2,eta"


def start(tmp_path: Path, *options: str, expected: str = EFFECTS) -> int:
    url, log = f"sqlite:///{tmp_path / 'app.db'}", str(tmp_path / "log")
    command = [sys.executable, str(APP), url, log, expected, *options]
    return subprocess.run(command, check=False, timeout=PATIENCE_S, cwd=APP.parents[4]).returncode


def effects(tmp_path: Path) -> Counter[str]:
    return Counter((tmp_path / "log").read_text().split())


@pytest.mark.parametrize(
    "dies_in",
    ["p2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("b", "body", "try-1", "linked"))],
)
def test_canvas_and_retries_survive_a_kill_in_a_task(tmp_path: Path, dies_in: str) -> None:
    assert start(tmp_path, "--send", "--die-in", dies_in) == -signal.SIGKILL
    assert start(tmp_path) == 0
    found = effects(tmp_path)
    assert set(EFFECTS.split(",")) <= found.keys()
    assert found[dies_in] == 2
    assert found["body"] == 1 + (dies_in == "body")


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", range(1, 40))
def test_canvas_and_retries_survive_a_kill_at_any_transaction(tmp_path: Path, kill_at: int) -> None:
    """What follows a job is sent once, though the job itself may run twice."""
    ended = start(tmp_path, "--send", "--kill-at", str(kill_at))
    assert ended in {0, -signal.SIGKILL}
    assert start(tmp_path) == 0
    found = effects(tmp_path)
    assert set(EFFECTS.split(",")) <= found.keys()
    doubled = {name for name, count in found.items() if count > 1 and name != "sent"}
    journal = Journal(f"sqlite:///{tmp_path / 'app.db'}")
    ran_twice = {job.id.partition("/")[0] for job in journal.done if job.attempt > 1}
    journal.close()
    assert len(doubled) <= len(ran_twice)


def test_a_job_that_was_acknowledged_early_never_runs_again_and_those_that_wait_do(tmp_path: Path) -> None:
    names = "one,two,three"
    assert start(tmp_path, "--early", "--die-in", "one", expected=names) == -signal.SIGKILL
    assert start(tmp_path, expected=names) == 0
    assert effects(tmp_path) - Counter({"sent": 2}) == Counter({"one": 1, "two": 1, "three": 1})
