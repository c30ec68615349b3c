"""What became of every accepted job when a fault struck."""

from __future__ import annotations

from reports.data import rerun_commands
from reports.data.run import Run
from reports.failure import matrix
from reports.pages.section import Section, lacking


def section(run: Run) -> Section:
    """What became of every accepted job when a fault struck."""
    found = matrix.matrix(run)
    return Section(
        slug="failure",
        title="Failure",
        intro="What became of every accepted job when a fault struck. Lost: no effect, no record, held "
        "nowhere. Stuck: still held somewhere at the drain limit. Failed visibly: a person can find it.",
        matrix=found,
        gaps=lacking(("strikes of faults", found is None, rerun_commands.measure(run, "fault"))),
    )
