"""Find other runs on this machine. Each run has a guardian, a process of its own, for as long as it lasts."""

from __future__ import annotations

import os

import psutil

from bench.process import guardian

#: The last word of the command of a run's guardian.
RUN = "run"


def other_runs() -> set[int]:
    """The process ids of every other harness that measures on this machine."""
    found = set()
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        if words[-2:] == [guardian.__name__, RUN]:
            found.add(int(process.info["ppid"]))
    return found - {os.getpid()}
