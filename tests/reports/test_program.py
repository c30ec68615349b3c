from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import reports

ROOT = Path(reports.__file__).parents[1]


@dataclass(frozen=True)
class Rendered:
    """What the program left behind, having rendered the whole run once with an empty home."""

    run: Path
    home: Path
    before: frozenset[Path]
    done: subprocess.CompletedProcess[str]

    @property
    def report(self) -> Path:
        return self.run / "report.html"


def program(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reports", str(directory)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def rendered(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("program")
    run, home = shutil.copytree(whole_run, folder / "run"), folder / "home"
    (run / "report.html").unlink(missing_ok=True)
    home.mkdir()
    before = frozenset(run.iterdir())
    return Rendered(run, home, before, program(run, HOME=str(home), MPLCONFIGDIR=""))


def test_the_program_prints_the_verdicts_a_blank_line_and_the_reports_path(rendered: Rendered) -> None:
    done = rendered.done
    assert (done.returncode, done.stderr) == (0, "")
    lines = [*reports.headlines(rendered.run), "", f"report: {rendered.report}"]
    assert done.stdout.splitlines() == lines


def test_the_report_tells_how_to_render_it_again_with_the_path_as_given(rendered: Rendered) -> None:
    assert f"queue-or-task report {rendered.run}" in rendered.report.read_text(encoding="utf-8")


def test_rendering_writes_the_report_and_nothing_else(rendered: Rendered) -> None:
    assert set(rendered.run.iterdir()) - rendered.before == {rendered.report}
    assert not list(rendered.home.rglob("*"))


def test_the_same_run_gives_the_same_bytes_in_another_process(rendered: Rendered, whole_report: Path) -> None:
    here, there = str(rendered.run), str(whole_report.parent)  # each names itself as rendering again does
    again = rendered.report.read_text(encoding="utf-8")
    assert again.replace(here, there) == whole_report.read_text(encoding="utf-8")


def test_a_directory_that_is_no_run_ends_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = program(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("queue-or-task: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
