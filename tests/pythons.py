"""Run the runtime's tests on every Python of this machine beside the one of .venv: `make test-pythons`.

1. Pythons are looked for in pyenv's folder and on PATH: CPython from 3.11 on, one of each minor version.
2. Each gets an environment of its own in .cache/pythons, with what the tests need and nothing of what the
   runtime could need: it has to do with the standard library.
3. All run at once. A test that needs another package is left out (`LEFT_OUT`, `DESELECTED`).

Exit code 1 where a test fails or a Python of pyenv cannot be started. Where there is no other Python, one
line says so, and the exit code is 0: a machine need not have one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent
#: The oldest minor version that the runtime supports.
OLDEST: Final = (3, 11)
#: What the tests themselves are written with.
PACKAGES: Final = ("pytest", "pytest-timeout", "hypothesis", "psutil")
#: Tests that cannot be imported without another package.
LEFT_OUT: Final = (
    "tests/inprocess/celery",
    "tests/inprocess/test_cron.py",
    "tests/inprocess/test_application.py",
    "tests/inprocess/journal/test_postgresql.py",
    "tests/inprocess/journal/test_processes.py",
    "tests/inprocess/journal/test_sets_and_cli.py",
    "tests/inprocess/journal/test_transactions.py",
    "tests/inprocess/supervision/test_asgi.py",
    "tests/inprocess/supervision/leases/test_lease_backends.py",
)
#: Single tests that need one; what the id of a test begins with.
DESELECTED: Final = (
    "tests/inprocess/test_docs.py::test_a_block_of_the_page_prints_what_the_page_says[celery-",
    "tests/inprocess/supervision/lifecycle/test_runtime.py::test_a_runtime_may_have_a_loop_of_another_make",
    "tests/inprocess/supervision/lifecycle/test_runtime.py::test_a_fork_of_an_app_with_the_scenarios_tree",
)
_ASK: Final = (
    "import json, sys; print(json.dumps([sys.implementation.name, sys.version_info[:3], sys.executable]))"
)


class Python(NamedTuple):
    """One interpreter."""

    version: tuple[int, int, int]
    binary: Path

    @property
    def name(self) -> str:
        """Such as 3.12.1."""
        return ".".join(map(str, self.version))


class BrokenPythonError(RuntimeError):
    """A Python that pyenv has cannot be started; the text says which, and how it failed."""


def candidates(pyenv: Path, path: str) -> Iterator[tuple[Path, bool]]:
    """Binaries that may be such a Python, and whether each must start: pyenv's shims on PATH often do not."""
    for binary in sorted(pyenv.glob("versions/3.*/bin/python")):
        if tuple(map(int, binary.parent.parent.name.split(".")[:2])) >= OLDEST:
            yield binary, True
    for folder in filter(None, path.split(os.pathsep)):
        for binary in sorted(Path(folder).glob("python3.[0-9][0-9]")):
            yield binary, False


def find(pyenv: Path, path: str, *, beside: tuple[int, int]) -> list[Python]:
    """The newest of each minor version but `beside`, oldest first; raise BrokenPythonError."""
    newest: dict[tuple[int, int], Python] = {}
    for binary, must_start in candidates(pyenv, path):
        found = _ask(binary, must_start=must_start)
        if found is None or found.version[:2] < OLDEST or found.version[:2] == beside:
            continue
        known = newest.get(found.version[:2])
        if known is None or known.version < found.version:
            newest[found.version[:2]] = found
    return [newest[minor] for minor in sorted(newest)]


def _ask(binary: Path, *, must_start: bool) -> Python | None:
    try:
        answer = subprocess.run([binary, "-c", _ASK], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        if must_start:
            raise BrokenPythonError(f"{binary} does not start: {error}") from error
        return None
    kind, version, executable = json.loads(answer.stdout)
    return Python((version[0], version[1], version[2]), Path(executable)) if kind == "cpython" else None


def run(python: Python, arguments: list[str]) -> int:
    """Run the tests on it; print their output when they have ended and return the exit code."""
    folder = ROOT / ".cache" / "pythons" / python.name
    binary = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python.binary, "-m", "venv", folder], check=True)
        pip: list[str | Path] = [
            binary,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--constraint",
            ROOT / "constraints.txt",
        ]
        subprocess.run([*pip, *PACKAGES], check=True)
        (folder / ".installed").touch()
    command: list[str | Path] = [
        binary,
        "-m",
        "pytest",
        "tests/inprocess",
        "-q",
        "--confcutdir",
        "tests/inprocess",
    ]
    command += ["-p", "tests.timeouts", "-p", "tests.properties", "-p", "no:cacheprovider"]
    command += ["-o", "addopts=--import-mode=importlib --strict-markers --strict-config -ra"]
    command += [f"--ignore={path}" for path in LEFT_OUT]
    command += [f"--deselect={test}" for test in DESELECTED]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    sys.stdout.write(f"--- Python {python.name} ({python.binary})\n{done.stdout}")
    sys.stdout.flush()
    return done.returncode


def main() -> int:
    """Run all; the exit code."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    own = sys.version_info[:2]
    try:
        found = find(pyenv, os.environ.get("PATH", ""), beside=own)
    except BrokenPythonError as error:
        sys.stderr.write(f"test-pythons: {error}; mend it (pyenv install) or remove it (pyenv uninstall)\n")
        return 1
    beside = f"beside {own[0]}.{own[1]}, in {pyenv}/versions and on PATH"
    if not found:
        sys.stdout.write(f"test-pythons: no other Python from 3.11 on {beside}: nothing was run\n")
        return 0
    sys.stdout.write(f"test-pythons: {', '.join(python.name for python in found)} {beside}\n")
    sys.stdout.flush()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        codes = list(pool.map(lambda python: run(python, sys.argv[1:]), found))
    told = [
        f"{python.name} {'failed' if code else 'passed'}" for python, code in zip(found, codes, strict=True)
    ]
    sys.stdout.write(f"test-pythons: {', '.join(told)}\n")
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
