"""What each side eats, what there is to break, and the price of a call."""

from __future__ import annotations

from reports.data import rerun_commands, tables
from reports.data.run import Run
from reports.pages.section import Section, lacking, there


def section(run: Run) -> Section:
    """What each side eats, what there is to break, and the price of a call."""
    return Section(
        slug="cost",
        title="Cost",
        intro="What each side eats while it runs, what there is to break, and what a call costs its caller.",
        tables=there(tables.breakable(run)),
        gaps=lacking(
            ("the cost of the sides", run.table("cost").empty, rerun_commands.measure(run, "latency")),
            ("call costs", not run.micro, rerun_commands.measure(run, "micro")),
        ),
    )
