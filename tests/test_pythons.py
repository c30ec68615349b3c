"""`make test-pythons`: which interpreters it finds, and what it says where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import pythons
from tests.pythons import BrokenPythonError, find


def interpreter(binary: Path, version: str, *, kind: str = "cpython") -> None:
    """A program that answers as a Python of this version does."""
    binary.parent.mkdir(parents=True, exist_ok=True)
    numbers = version.replace(".", ", ")
    binary.write_text(f'#!/bin/sh\necho \'["{kind}", [{numbers}], "{binary}"]\'\n')
    binary.chmod(0o755)


def test_the_newest_of_each_minor_version_is_found_but_for_ours_and_the_old(tmp_path: Path) -> None:
    pyenv, on_path = tmp_path / "pyenv", tmp_path / "bin"
    for version in ("3.10.13", "3.11.9", "3.12.1", "3.12.4", "3.13.0"):
        interpreter(pyenv / "versions" / version / "bin" / "python", version)
    interpreter(on_path / "python3.12", "3.12.3")
    interpreter(on_path / "python3.14", "3.14.0")
    interpreter(on_path / "python3.15", "3.15.0", kind="pypy")
    (on_path / "python3.13").symlink_to("/bin/false")  # as pyenv's shim of a version that is not chosen

    found = find(pyenv, f"{on_path}:{tmp_path / 'nowhere'}", beside=(3, 11))

    assert [python.name for python in found] == ["3.12.4", "3.13.0", "3.14.0"]


def test_a_python_of_pyenv_that_does_not_start_is_an_error_and_not_left_out(tmp_path: Path) -> None:
    interpreter(tmp_path / "versions" / "3.12.1" / "bin" / "python", "3.12.1")
    (tmp_path / "versions" / "3.12.1" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(BrokenPythonError, match=r"3\.12\.1/bin/python does not start"):
        find(tmp_path, "", beside=(3, 11))


def test_where_there_is_no_other_python_one_line_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.pythons"],
        cwd=pythons.ROOT,
        env={"PYENV_ROOT": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "no other Python from 3.11 on" in done.stdout
    assert done.stdout.endswith("nothing was run\n")


def test_what_is_left_out_is_there() -> None:
    assert [path for path in pythons.LEFT_OUT if not (pythons.ROOT / path).exists()] == []
    for test in pythons.DESELECTED:
        path, _, name = test.partition("::")
        assert name.partition("[")[0] in (pythons.ROOT / path).read_text(), test
