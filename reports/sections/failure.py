"""What became of every accepted job when a fault struck."""

from __future__ import annotations

from reports import commands, matrix
from reports.reading import Run
from reports.sections.kinds import Section, lacking


def section(run: Run) -> Section:
    """What became of every accepted job when a fault struck."""
    found = matrix.matrix(run)
    return Section(
        slug="failure",
        title="Failure",
        intro="What became of every accepted job when a fault struck. Lost: no effect, no record, held "
        "nowhere. Stuck: still held somewhere at the drain limit. Failed visibly: a person can find it.",
        matrix=found,
        gaps=lacking(("strikes of faults", found is None, commands.measure(run, "fault"))),
    )
