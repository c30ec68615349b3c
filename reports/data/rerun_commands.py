"""The commands that fill a gap or make a figure again, as a person would type them."""

from __future__ import annotations

import shlex

from reports.data.run import Run

#: The program that a person types.
PROGRAM = "queue-or-task"
#: Options that choose what is measured; each has a value.
_CHOSEN = frozenset({"--measure", "--fault", "--side", "--profile", "--seed"})


def measure(run: Run, measure: str, scenario: str = "", fault: int | None = None) -> str:
    """The command that measures this again, with the run's own profile and seed."""
    words = [*_beginning(run), "--measure", measure]
    if fault is not None:
        words += ["--fault", str(fault)]
    if scenario and not run.mapping("own_app"):
        words += ["--scenario", scenario]
    if run.profile != "unknown":
        words += ["--profile", run.profile]
    seed = run.manifest.get("seed")
    if isinstance(seed, int):
        words += ["--seed", str(seed)]
    return shlex.join(words)


def _beginning(run: Run) -> list[str]:
    """The program; for an app of one's own with what its run was asked of it, and nothing of what it took."""
    if not run.mapping("own_app"):
        return [PROGRAM, "run"]
    given = run.texts("command")
    left_out = [place for place, word in enumerate(given) if word in _CHOSEN]
    return [word for place, word in enumerate(given) if place not in left_out and place - 1 not in left_out]


def whole(run: Run) -> str:
    """The command that made the run, as its manifest has it."""
    return shlex.join(run.texts("command")) or "not recorded"


def again(run: Run) -> str:
    """The command that renders the report again from the files alone."""
    return shlex.join([PROGRAM, "report", str(run.directory)])
