"""What became of every accepted job when a fault struck."""

from __future__ import annotations

from reports import commands, matrix
from reports.reading import Run
from reports.sections.kinds import Drawn, Section, lacking


def section(run: Run, drawn: Drawn) -> Section:
    """What became of every accepted job when a fault struck."""
    found = matrix.matrix(run)
    return Section(
        slug="failure",
        title="Failure",
        intro="What became of every accepted job when a fault struck. Lost: no effect, no record, held "
        "nowhere. Stuck: still held somewhere at the drain limit. Failed visibly: a person can find it.",
        matrix=found,
        figures=drawn.get("failure", ()),
        gaps=lacking(("strikes of faults", found is None, commands.measure(run, "fault"))),
    )
