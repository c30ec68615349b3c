"""Whether the periodic sync keeps its grid, and how old the balance gets."""

from __future__ import annotations

from reports.data import rerun_commands, tables
from reports.data.run import Run
from reports.pages.section import Section, lacking, there


def section(run: Run) -> Section:
    """Whether the periodic sync keeps its grid, and how old the balance gets."""
    command = rerun_commands.measure(run, "drift")
    return Section(
        slug="drift",
        title="Drift",
        intro="Whether the periodic sync keeps its grid of one second, and how old the balance gets.",
        tables=there(tables.drift(run)),
        gaps=lacking(
            ("the ticks of the sync", run.table("ticks").empty, command),
            ("the drift of each owner", run.table("drift").empty, command),
        ),
    )
