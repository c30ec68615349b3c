"""How long a side needs until it serves."""

from __future__ import annotations

from reports.data import rerun_commands
from reports.data.run import Run
from reports.pages.section import Section, lacking


def section(run: Run) -> Section:
    """How long a side needs until it serves."""
    return Section(
        slug="cold-start",
        title="Cold start",
        intro="From nothing to the first job's effect, with every process that a side needs spawned at once.",
        gaps=lacking(("cold starts", run.table("cold").empty, rerun_commands.measure(run, "cold"))),
    )
