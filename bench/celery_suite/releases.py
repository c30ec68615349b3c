"""Source releases of packages, with the tests that wheels lack, in the folder of the suites' cache."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


class SuiteError(Exception):
    """A suite is not available; one line says why."""


def unpacked(name: str, version: str, cache: Path) -> Path:
    """Return the folder of a source release, and fetch it if it is not there; raise SuiteError."""
    stem = f"{name.replace('-', '_')}-{version}"
    folder = cache / stem
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        pip("download", "--no-binary", name, "--no-deps", "--dest", str(cache), f"{name}=={version}")
        with tempfile.TemporaryDirectory(dir=cache) as part, tarfile.open(f"{folder}.tar.gz") as archive:
            archive.extractall(part, filter="data")
            (Path(part) / stem).rename(folder)  # whole, or not there: it may be interrupted
    return folder


def pip(*arguments: str) -> None:
    """Run pip of this interpreter; raise SuiteError if it fails."""
    done = subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet"], check=False)
    if done.returncode:
        raise SuiteError(f"pip {arguments[0]} failed: {' '.join(arguments)}")
