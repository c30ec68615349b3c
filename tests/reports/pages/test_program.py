from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import reports

ROOT = Path(reports.__file__).parents[2]
#: What rendering adds to a run directory.
WRITTEN = ("report.html", "summary.json", "summary.md")
#: As `report` has it: with a single thread the work is shared out over processes.
SHARED_OUT = {"OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Rendered:
    """What the program left behind, having rendered the whole run once with an empty home."""

    run: Path
    home: Path
    before: frozenset[Path]
    beside: frozenset[Path]
    done: subprocess.CompletedProcess[str]

    @property
    def report(self) -> Path:
        return self.run / "report.html"


def command(directory: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "reports", str(directory), *options]


def program(directory: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    asked = command(directory, *options)
    return subprocess.run(asked, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def rendered(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("program")
    run, home = shutil.copytree(whole_run, folder / "runs" / "run"), folder / "home"
    for name in WRITTEN:
        (run / name).unlink(missing_ok=True)
    home.mkdir()
    before, beside = frozenset(run.iterdir()), frozenset(run.parent.iterdir())
    # Another seed of the hashes than this process has, which was drawn.
    environment = {"HOME": str(home), "MPLCONFIGDIR": "", "PYTHONHASHSEED": "1", **SHARED_OUT}
    return Rendered(run, home, before, beside, program(run, **environment))


def test_the_program_prints_the_paths_and_ends_with_the_table_of_verdicts(
    rendered: Rendered,
) -> None:
    done = rendered.done
    assert (done.returncode, done.stderr) == (0, "")
    pages = [f"report: {rendered.report}", f"all runs: {rendered.run.parent / 'index.html'}"]
    table = reports.summary_text(rendered.run, form="terminal")
    assert done.stdout == "\n".join([*pages, "", table])


def test_the_report_tells_how_to_render_it_again_with_the_path_as_given(rendered: Rendered) -> None:
    assert f"queue-or-task report {rendered.run}" in rendered.report.read_text(encoding="utf-8")


def test_rendering_writes_the_report_the_summaries_the_list_and_nothing_else(rendered: Rendered) -> None:
    assert set(rendered.run.iterdir()) - rendered.before == {rendered.run / name for name in WRITTEN}
    assert set(rendered.run.parent.iterdir()) - rendered.beside == {rendered.run.parent / "index.html"}
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


@pytest.mark.parametrize("form", ["md", "json"])
def test_a_summary_is_printed_as_it_was_written_and_nothing_is_written(rendered: Rendered, form: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in rendered.run.iterdir()}
    done = program(rendered.run, "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (rendered.run / f"summary.{form}").read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in rendered.run.iterdir()} == before


def test_a_page_of_someone_else_is_not_written_over_and_the_report_stands(run: Path) -> None:
    theirs = run.parent / "index.html"
    theirs.write_text("<p>mine</p>")
    done = program(run)
    assert (done.returncode, (run / "report.html").exists()) == (0, True)
    assert done.stderr == f"queue-or-task: {theirs} is not a list of runs: move it away to have one written\n"
    assert theirs.read_text() == "<p>mine</p>"


def test_ctrl_c_ends_it_without_a_traceback_and_leaves_nothing_in_the_run(run: Path) -> None:
    before = set(run.iterdir())
    with subprocess.Popen(
        command(run),
        cwd=ROOT,
        env={**os.environ, "MPLCONFIGDIR": "", **SHARED_OUT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as making:
        while not set(run.iterdir()) - before:  # what matplotlib keeps while it draws
            assert making.poll() is None
            time.sleep(0.01)
        os.killpg(making.pid, signal.SIGINT)
        told, complaint = making.communicate()
    assert (making.returncode, told, complaint) == (130, "", "")
    assert set(run.iterdir()) == before
