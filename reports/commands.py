"""The commands that fill a gap or make a figure again, as a person would type them."""

from __future__ import annotations

import shlex

from reports.reading import Run


def measure(run: Run, measure: str, scenario: str = "") -> str:
    """The command that measures this again, with the run's own profile and seed."""
    words = ["python", "-m", "bench", "run", "--measure", measure]
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
    return shlex.join(["python", "-m", "bench", "report", f"results/{run.directory.name}"])
