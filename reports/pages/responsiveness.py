"""What the app's other users feel of the background work."""

from __future__ import annotations

from reports.data import rerun_commands
from reports.data.run import Run
from reports.pages.section import Section, lacking


def section(run: Run) -> Section:
    """What the app's other users feel of the background work."""
    tax = run.table("latency")["metric"] == "host_tax"
    return Section(
        slug="responsiveness",
        title="Responsiveness",
        intro="A task in the app runs where requests are served. What it takes from them: little while it "
        "waits for others, all of it while it computes on the loop.",
        gaps=lacking(
            (
                "requests beside CPU-heavy jobs",
                run.table("hog_latency").empty,
                rerun_commands.measure(run, "hogs"),
            ),
            ("the host tax", not tax.any(), rerun_commands.measure(run, "latency")),
        ),
    )
