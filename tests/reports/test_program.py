from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import reports

ROOT = Path(reports.__file__).parents[1]


def program(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reports", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_program_prints_the_verdicts_a_blank_line_and_the_reports_path(run: Path) -> None:
    done = program(str(run))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [*reports.headlines(run), "", f"report: {run / 'report.html'}"]
    assert f"queue-or-task report {run}" in (run / "report.html").read_text(encoding="utf-8")


def test_a_directory_that_is_no_run_ends_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = program(str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("queue-or-task: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
