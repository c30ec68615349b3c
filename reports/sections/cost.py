"""What each side eats, what there is to break, and the price of a call."""

from __future__ import annotations

from reports import commands, tables
from reports.reading import Run
from reports.sections.kinds import Section, lacking, there


def section(run: Run) -> Section:
    """What each side eats, what there is to break, and the price of a call."""
    return Section(
        slug="cost",
        title="Cost",
        intro="What each side eats while it runs, what there is to break, and what a call costs its caller.",
        tables=there(tables.breakable(run)),
        gaps=lacking(
            ("the cost of the sides", run.table("cost").empty, commands.measure(run, "latency")),
            ("call costs", not run.micro, commands.measure(run, "micro")),
        ),
    )
