"""The Python interpreter of the user's app: which one, what it has installed, how ours start in it.

The app runs with its own versions of Python, Celery, kombu and redis-py. Its processes import four packages
of ours, and of other people's nothing but what the app has: see `bench.own_app.children.start`.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.errors import BenchError
from queue_or_task import ROOT

#: The oldest Python, and the Celery versions from the first up to, but without, the second.
OLDEST_PYTHON = (3, 11)
CELERY_VERSIONS = ((5, 4), (5, 8))
#: Packages that the app's processes can import from us.
PACKAGES = ("inprocess", "celery_impl", "bench", "scenarios")
#: The script that starts a program of ours in the app's interpreter.
START = ROOT / "bench" / "own_app" / "children" / "start.py"
#: Seconds that an interpreter may take to list its versions.
PROBE_WITHIN_S = 30.0
_PROBE = """
import json, sys
try:
    from importlib import metadata
except ImportError:
    metadata = None
def version(name):
    try:
        return metadata.version(name) if metadata else ""
    except metadata.PackageNotFoundError:
        return ""
found = {name: version(name) for name in ("celery", "kombu", "redis")}
print(json.dumps(dict(found, python="%d.%d.%d" % sys.version_info[:3])))
"""


@cache
def _links() -> Path:
    """A folder for each package of ours, with a link to it and nothing else, to be put on a path."""
    made = Path(tempfile.mkdtemp(prefix="queue-or-task-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    for name in PACKAGES:
        (made / name).mkdir()
        (made / name / name).symlink_to(ROOT / name, target_is_directory=True)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python interpreter and the versions that it has; an empty version is not installed."""

    path: Path
    python: str
    celery: str
    kombu: str
    redis: str

    def command(self, program: str, *options: str) -> list[str]:
        """The command that runs a program of `bench.own_app.children` in this interpreter."""
        return [str(self.path), "-P", str(START), str(_links()), program, *options]

    def versions(self) -> dict[str, str]:
        """The versions by name, for the manifest."""
        return {name: getattr(self, name) for name in ("python", "celery", "kombu", "redis")}


def find(chosen: Path | None, folder: Path, env: Mapping[str, str]) -> Path:
    """The interpreter of the app: `chosen`, else of the active or the project's environment, else ours.

    `chosen` may be the folder of a virtual environment. The active one is named by VIRTUAL_ENV, the project's
    is `.venv` in its folder. Raise BenchError where `chosen` does not exist.
    """
    if chosen is not None:
        found = chosen / "bin" / "python" if chosen.is_dir() else chosen
        if not found.exists():
            raise BenchError(
                f"--python {chosen}: there is no {found}; name an interpreter or its environment"
            )
        return Path(os.path.abspath(found))  # noqa: PTH100 - resolving the link would leave the environment
    environments = [Path(env["VIRTUAL_ENV"])] if env.get("VIRTUAL_ENV") else []
    for environment in (*environments, folder / ".venv"):
        if (environment / "bin" / "python").exists():
            return environment / "bin" / "python"
    return Path(sys.executable)


def inspect(path: Path, *, within_s: float = PROBE_WITHIN_S) -> Interpreter:
    """The interpreter at this path; raise BenchError, with one line, where the app cannot be run in it."""
    try:
        done = subprocess.run(
            [path, "-c", _PROBE], cwd="/", capture_output=True, text=True, check=True, timeout=within_s
        )
        versions = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise BenchError(f"{path} does not run as a Python interpreter: {lines[-1]}") from error
    _check(path, versions)
    return Interpreter(path=path, **versions)


def check_redis(interpreter: Interpreter) -> None:
    """Raise BenchError where redis-py is missing: the run's broker is a Redis server."""
    if not interpreter.redis:
        install = f"{interpreter.path} -m pip install 'celery[redis]=={interpreter.celery}'"
        raise BenchError(f"{interpreter.path} has no redis-py, which the run's broker needs: {install}")


def _check(path: Path, versions: Mapping[str, str]) -> None:
    if _minor(versions["python"]) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise BenchError(f"{path} is Python {versions['python']}: {oldest} or newer is needed")
    if not versions["celery"]:
        raise BenchError(f"{path} has no Celery: name the interpreter of your app with --python")
    first, end = CELERY_VERSIONS
    if not first <= _minor(versions["celery"]) < end:
        supported = f"{first[0]}.{first[1]} to {end[0]}.{end[1] - 1}"
        raise BenchError(f"{path} has Celery {versions['celery']}: {supported} are supported")


def _minor(version: str) -> tuple[int, int]:
    """The first two numbers of a version; (0, 0) where it has none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
