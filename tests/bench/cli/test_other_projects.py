"""The command beside packages of the caller that have the names of ours; and without an extra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from queue_or_task import PACKAGES, ROOT
from tests import noise

#: What the console script does.
COMMAND = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import queue_or_task; queue_or_task.main()"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose packages have our names, and may not be imported."""
    for name in (*PACKAGES, "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('imported the other {name}')\n")
    return tmp_path


def call(
    project: Path, *words: str, options: tuple[str, ...] = ("-P",), **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", COMMAND, *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(120)
def test_a_run_and_its_report_work_where_other_packages_have_our_names(project: Path) -> None:
    words = ("--profile", "smoke", "--side", "inprocess", "--measure", "latency", "--measure", "micro")
    done = call(project, "run", *words, PYTEST_ADDOPTS="--no-such-option", PYTEST_XDIST_WORKER="gw0")
    noise.check_run(done.returncode, done.stdout + done.stderr)
    assert "done    micro call costs" in done.stdout
    report = project / "results" / "latest" / "report.html"
    report.unlink()
    done = call(project, "report")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report.exists()


def test_without_its_dependencies_the_command_tells_how_to_install_them(tmp_path: Path) -> None:
    done = call(tmp_path, "run", options=("-P", "-S"))  # -S: without the installed packages
    assert done.returncode == 2
    assert done.stderr == "queue-or-task: click is not installed: pip install 'queue-or-task[bench]'\n"


def test_without_a_command_the_help_is_short_and_names_the_long_one(tmp_path: Path) -> None:
    bare, version = call(tmp_path), call(tmp_path, "--version")
    assert (bare.returncode, version.returncode) == (0, 0)
    assert len(bare.stdout.splitlines()) < 12
    assert "queue-or-task --help" in bare.stdout
    assert version.stdout.startswith("queue-or-task ")
