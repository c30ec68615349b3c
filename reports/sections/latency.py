"""From due to effect: single jobs, quantiles by block, and the sides compared."""

from __future__ import annotations

from reports import commands, tables
from reports.reading import Run
from reports.sections.kinds import Drawn, Section, lacking, there


def section(run: Run, drawn: Drawn) -> Section:
    """From due to effect: single jobs, quantiles by block, and the sides compared."""
    return Section(
        slug="latency",
        title="Latency",
        intro="From the moment a job was due in the plan to the moment its effect was there. The load does "
        "not wait for the system, and unfinished jobs count.",
        figures=drawn.get("latency", ()),
        tables=there(tables.comparisons(run), tables.quantiles(run)),
        gaps=lacking(
            ("the responses of single jobs", run.table("jobs").empty, commands.measure(run, "latency")),
            ("quantiles by block", run.table("latency").empty, commands.measure(run, "latency")),
            ("comparisons of the sides", run.table("comparisons").empty, commands.measure(run, "latency")),
        ),
    )
