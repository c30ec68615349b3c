"""What the measuring itself took."""

from __future__ import annotations

from reports import commands
from reports.reading import Run
from reports.sections.kinds import Drawn, Section, lacking


def section(run: Run, drawn: Drawn) -> Section:
    """What the measuring itself took."""
    return Section(
        slug="own",
        title="The harness's own share",
        intro="An instrument on the machine that it measures is part of the load.",
        figures=drawn.get("own", ()),
        gaps=lacking(("what the harness took itself", run.table("own").empty, commands.whole(run))),
    )
