"""From due to effect: single jobs, every percentile, what the caller pays, and the sides compared."""

from __future__ import annotations

from reports.data import rerun_commands
from reports.data.run import Run
from reports.pages.section import Section, lacking


def section(run: Run) -> Section:
    """From due to effect: single jobs, every percentile, what the caller pays, and the sides compared."""
    command = rerun_commands.measure(run, "latency")
    return Section(
        slug="latency",
        title="Latency",
        intro="From the moment a job was due in the plan to the moment its effect was there. The load does "
        "not wait for the system, and unfinished jobs count.",
        gaps=lacking(
            ("the responses of single jobs", run.table("jobs").empty, command),
            ("single HTTP requests", run.table("requests").empty, command),
            ("quantiles by block", run.table("latency").empty, command),
            ("comparisons of the sides", run.table("comparisons").empty, command),
        ),
    )
