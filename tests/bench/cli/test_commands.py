"""The command line as its users meet it: what it refuses, in one line with exit code 2, leaving nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.analysis.report_program import display_path
from bench.cli.commands import main
from bench.process.asgi_server import listening_socket, port_of
from bench.schema import SCHEMA_VERSION
from bench.storage import disk_space


def call(*words: str, env: dict[str, str] | None = None) -> Result:
    """The program's own command in this process; a new one takes two seconds to import the bench."""
    return CliRunner().invoke(main, words, env=env)


def one_line(done: Result, stderr: str | None = None) -> str:
    """What it said; `stderr` where a program said it that the command started."""
    assert done.exit_code == 2, done.output
    (line,) = (done.stderr if stderr is None else stderr).splitlines()
    assert line.startswith("queue-or-task: ")
    return line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--scenario", "payroll"], "no scenario is called 'payroll': choose from account_setup"),
        (["--side", "ruby"], "no side is called 'ruby': choose from inprocess"),
        (["--profile", "huge"], "no profile is called 'huge': choose from smoke"),
        (["--measure", "joy"], "no measure is called 'joy': choose from latency"),
        (["--fault", "99"], "no fault has the number 99: choose from 1"),
        (["--fault", "x"], "'x' is not a valid integer"),
        (["--sides", "inline"], "No such option"),
        (["--side", "inline", "--measure", "drift"], "nothing to measure"),
        (["--measure", "latency", "--fault", "12"], "--fault 12 is measured by --measure fault: add it"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    tmp_path: Path, words: list[str], told: str
) -> None:
    assert told in one_line(call("run", "--out", str(tmp_path / "results"), *words))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:6379", "its scheme must be one of redis"),
        ("redis://127.0.0.1:1", "does not answer"),
        ("redis://:secret@127.0.0.1:1", "does not answer"),
    ],
)
def test_a_broken_redis_url_is_refused_before_anything_is_written(
    tmp_path: Path, url: str, told: str
) -> None:
    done = call("run", "--side", "celery", "--out", str(tmp_path / "results"), env={"REDIS_URL": url})
    assert told in one_line(done)
    assert "secret" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_redis_that_takes_connections_and_says_nothing_is_refused_too(tmp_path: Path) -> None:
    with listening_socket() as silent:
        url = f"redis://127.0.0.1:{port_of(silent)}"
        done = call("run", "--out", str(tmp_path / "results"), env={"REDIS_URL": url})
    assert "does not answer" in one_line(done)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = call("report", str(tmp_path))
    assert f"{display_path(tmp_path)} is not a complete run" in one_line(done, capfd.readouterr().err)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "names no schema"),
        ("{}", "names no schema"),
        ('{"schema": "x"}', "names no schema"),
    ],
)
def test_a_run_with_a_broken_manifest_is_refused(
    tmp_path: Path, text: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(text)
    assert told in one_line(call("report", str(tmp_path)), capfd.readouterr().err)
    assert "is not a complete run" in one_line(call("check", "-t", "lost == 0", str(tmp_path)))


def test_a_report_begins_without_what_only_a_run_needs() -> None:
    heavy = "{'celery', 'pandas', 'numpy', 'scipy'}"
    code = f"import sys, bench.cli.commands; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_of_a_newer_version_is_refused_with_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"schema": SCHEMA_VERSION + 1}))
    assert "upgrade" in one_line(call("report", str(tmp_path)), capfd.readouterr().err)
    assert "upgrade" in one_line(call("compare", str(tmp_path), str(tmp_path)))


def test_results_that_cannot_be_written_are_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call("run", "--side", "inprocess", "--out", str(tmp_path / "file" / "results"))
    assert "cannot write results" in one_line(done)


def test_too_little_disk_is_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space, "FREE_BYTES_NEEDED", 10**18)
    done = CliRunner().invoke(main, ["run", "--side", "inprocess", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "MB free, a run needs" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_program_ends_as_its_command_does() -> None:
    command = [sys.executable, "-m", "bench", "list", "colours"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == call("list", "colours").stderr


def test_help_shows_examples_and_list_shows_everything() -> None:
    assert "queue-or-task run --measure fault --fault 12" in call("--help").stdout
    listed = call("list").stdout
    for word in ("account_setup", "celery-hardened", "drift", "quick", "worker-killed"):
        assert word in listed
    assert "no" in one_line(call("list", "colours"))
