"""Whether a timer for each customer scales."""

from __future__ import annotations

from reports.data import rerun_commands
from reports.data.run import Run
from reports.pages.section import Section, lacking


def section(run: Run) -> Section:
    """Whether a timer for each customer scales."""
    return Section(
        slug="owners",
        title="Many owners",
        intro="The periodic sync again, with one owner and with as many as the run was given.",
        gaps=lacking(
            ("many periodic owners", run.table("owners").empty, rerun_commands.measure(run, "owners"))
        ),
    )
