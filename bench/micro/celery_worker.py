"""A real worker for a benchmark: its processes import the benchmark's own file as their app."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: Seconds that a worker may take to be ready, or to do what it is timed at.
PATIENCE_S: Final = 120.0
#: What a benchmark's worker leaves out: talk with other workers, and a log line for each job.
QUIET: Final = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING")


@contextmanager
def worker(file: Path, *options: str, variables: Mapping[str, str], ready: Path) -> Iterator[int]:
    """A worker of the app in `file`, by its process id; its process group is killed at the end.

    The app touches `ready` when its worker takes jobs, and this returns then; raise AssertionError where that
    takes longer than PATIENCE_S. `variables` are added to the environment; the log is `ready` with .log.
    """
    command = (sys.executable, "-m", "celery", "-A", file.stem, "worker", *options, *QUIET)
    paths = f"{Path(__file__).parent.parent.parent}:{file.parent}"
    with ready.with_suffix(".log").open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env={**os.environ, **variables, "PYTHONPATH": paths},
            process_group=0,
        )
    try:
        wait(ready.exists)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(done: Callable[[], object]) -> None:
    """Return as soon as it is done; raise AssertionError after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)
