"""How long a side needs until it serves."""

from __future__ import annotations

from reports import commands
from reports.reading import Run
from reports.sections.kinds import Section, lacking


def section(run: Run) -> Section:
    """How long a side needs until it serves."""
    return Section(
        slug="cold-start",
        title="Cold start",
        intro="From nothing to the first job's effect, with every process that a side needs spawned at once.",
        gaps=lacking(("cold starts", run.table("cold").empty, commands.measure(run, "cold"))),
    )
