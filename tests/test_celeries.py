"""`make test-celeries`: what it runs, and what it says where it cannot."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import celeries


def test_an_unknown_version_is_refused_with_those_that_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.celeries", "5.3"],
        cwd=celeries.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "test-celeries: no Celery 5.3: choose from 5.4, 5.5, 5.6, 5.7\n"


def test_what_is_run_is_there() -> None:
    assert [path for path in celeries.SUITE if not (celeries.ROOT / path).exists()] == []


def test_an_environment_has_what_the_extra_says_and_nothing_of_ours() -> None:
    requirements = celeries.requirements()
    assert any(name.startswith("celery[redis]") for name in requirements)
    assert any(name.startswith("sqlalchemy") for name in requirements), "the extra's own extras count"
    assert not any("queue-or-task" in name for name in requirements)


def test_the_pinned_celery_is_the_newest_that_is_supported() -> None:
    pins = (celeries.ROOT / "constraints.txt").read_text().splitlines()
    (newest,) = (version for version, replaced in celeries.PINS.items() if not replaced)
    assert any(pin.startswith(f"celery=={newest}.") for pin in pins)
    assert newest == list(celeries.PINS)[-1]


@pytest.mark.parametrize(
    ("job", "told"), [("inprocess,done", "no job was done by celery-app"), ("", "by celery-app, inprocess")]
)
def test_a_side_without_a_job_that_was_done_fails_the_smoke_run(tmp_path: Path, job: str, told: str) -> None:
    run = tmp_path / "latest"
    run.mkdir()
    (run / "jobs.csv").write_text(f"side,outcome\n{job}\n")
    assert told in celeries.missing_sides(tmp_path)


def test_the_extra_allows_what_is_tried() -> None:
    extras = tomllib.loads((celeries.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "celery[redis]>=5.4,<5.8" in extras["celery"]
