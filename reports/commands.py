"""The commands that fill a gap or make a figure again, as a person would type them."""

from __future__ import annotations

import shlex

from reports.reading import Run

#: The program that a person types.
PROGRAM = "queue-or-task"


def measure(run: Run, measure: str, scenario: str = "", fault: int | None = None) -> str:
    """The command that measures this again, with the run's own profile and seed."""
    words = [PROGRAM, "run", "--measure", measure]
    if fault is not None:
        words += ["--fault", str(fault)]
    if scenario:
        words += ["--scenario", scenario]
    if run.profile != "unknown":
        words += ["--profile", run.profile]
    seed = run.manifest.get("seed")
    if isinstance(seed, int):
        words += ["--seed", str(seed)]
    return shlex.join(words)


def whole(run: Run) -> str:
    """The command that made the run, as its manifest has it."""
    return shlex.join(run.texts("command")) or "not recorded"


def again(run: Run) -> str:
    """The command that renders the report again from the files alone."""
    return shlex.join([PROGRAM, "report", str(run.directory)])
