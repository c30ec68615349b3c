"""Which interpreter runs the user's app, and the one line for one that cannot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.own_app.interpreter import CELERY_VERSIONS, PACKAGES, check_redis, find, inspect
from tests.celeries import PINS


def program(path: Path, **versions: str) -> Path:
    """A program that answers as an interpreter with these versions does."""
    answer = {"python": "3.12.1", "celery": "5.6.3", "kombu": "5.6.2", "redis": "6.4.0", **versions}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    path.chmod(0o755)
    return path


def told(path: Path) -> str:
    with pytest.raises(BenchError) as caught:
        inspect(path)
    text = str(caught.value)
    assert text == " ".join(text.split()), "one line"
    return text


def test_a_chosen_one_goes_before_the_active_environment_and_that_before_the_projects(tmp_path: Path) -> None:
    chosen, active, project = (tmp_path / name for name in ("chosen", "active", "project"))
    assert find(None, project, {}) == Path(sys.executable)
    own = program(project / ".venv" / "bin" / "python")
    assert find(None, project, {}) == own
    running = program(active / "bin" / "python")
    env = {"VIRTUAL_ENV": str(active)}
    assert find(None, project, env) == running
    python = program(chosen / "bin" / "python")
    assert find(chosen, project, env) == python, "an environment's folder"
    assert find(python, project, env) == python
    assert find(None, project, {"VIRTUAL_ENV": str(tmp_path / "gone")}) == own


def test_a_link_to_an_interpreter_stays_a_link_or_it_would_leave_its_environment(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert find(link, tmp_path, {}) == link


def test_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"--python .*gone: there is no .*gone; name an interpreter"):
        find(tmp_path / "gone", tmp_path, {})


@pytest.mark.parametrize(
    ("versions", "line"),
    [
        ({"celery": "5.3.6"}, "has Celery 5.3.6: 5.4 to 5.7 are supported"),
        ({"celery": "5.8.0rc1"}, "has Celery 5.8.0rc1: 5.4 to 5.7 are supported"),
        ({"celery": ""}, "has no Celery: name the interpreter of your app with --python"),
        ({"python": "3.10.13"}, "is Python 3.10.13: 3.11 or newer is needed"),
    ],
)
def test_a_version_out_of_range_is_refused_in_one_line(
    tmp_path: Path, versions: dict[str, str], line: str
) -> None:
    path = program(tmp_path / "python", **versions)
    assert told(path) == f"{path} {line}"


def test_a_program_that_is_no_python_is_told_with_its_last_words(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho 'no such thing' >&2\nexit 3\n")
    path.chmod(0o755)
    assert told(path) == f"{path} does not run as a Python interpreter: no such thing"
    path.write_text("#!/bin/sh\necho hello\n")
    assert "does not run as a Python interpreter" in told(path)


def test_without_redis_py_the_line_says_how_to_install_it(tmp_path: Path) -> None:
    found = inspect(program(tmp_path / "python", redis=""))
    with pytest.raises(BenchError) as caught:
        check_redis(found)
    assert str(caught.value).endswith(f"needs: {found.path} -m pip install 'celery[redis]==5.6.3'")


def test_every_supported_celery_is_tried_by_make_test_celeries() -> None:
    (major, first), (_, end) = CELERY_VERSIONS
    assert list(PINS) == [f"{major}.{minor}" for minor in range(first, end)]


def test_the_links_hold_our_packages_alone() -> None:
    _, flag, _, links, program_name = inspect(Path(sys.executable)).command("describe")
    assert (flag, program_name) == ("-P", "describe")
    assert {path.name for path in Path(links).glob("*/*")} == set(PACKAGES)
