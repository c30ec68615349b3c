"""Whether a timer for each customer scales."""

from __future__ import annotations

from reports import commands
from reports.reading import Run
from reports.sections.kinds import Section, lacking


def section(run: Run) -> Section:
    """Whether a timer for each customer scales."""
    return Section(
        slug="owners",
        title="Many owners",
        intro="The periodic sync again, with one owner and with as many as the run was given.",
        gaps=lacking(("many periodic owners", run.table("owners").empty, commands.measure(run, "owners"))),
    )
