"""What the measuring itself took."""

from __future__ import annotations

from reports.data import rerun_commands
from reports.data.run import Run
from reports.pages.section import Section, lacking


def section(run: Run) -> Section:
    """What the measuring itself took."""
    return Section(
        slug="own",
        title="The harness's own share",
        intro="An instrument on the machine that it measures is part of the load.",
        gaps=lacking(("what the harness took itself", run.table("own").empty, rerun_commands.whole(run))),
    )
