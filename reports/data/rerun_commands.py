"""The commands that a page shows: how to measure a figure, run a run again, render a report again."""

from __future__ import annotations

import shlex

from reports.data.run import Run

#: The program that a person types.
PROGRAM = "queue-or-task"
#: Options that select what is measured; each takes a value.
_CHOSEN = frozenset({"--measure", "--fault", "--side", "--profile", "--seed"})


def measure(run: Run, measure: str, scenario: str = "", fault: int | None = None) -> str:
    """The command that measures this, with the profile and the seed of the run."""
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
    """The program and `run`; for your own app also its options, without those of `_CHOSEN`."""
    if not run.mapping("own_app"):
        return [PROGRAM, "run"]
    given = run.texts("command")
    left_out = [place for place, word in enumerate(given) if word in _CHOSEN]
    return [word for place, word in enumerate(given) if place not in left_out and place - 1 not in left_out]


def run_again(run: Run) -> str:
    """The command that made the run, from its manifest."""
    return shlex.join(run.texts("command")) or "not recorded"


def render_again(run: Run) -> str:
    """The command that renders the report again from the files of the run."""
    return shlex.join([PROGRAM, "report", str(run.directory)])
