"""How much each side can do, and how soon when it is busy."""

from __future__ import annotations

from reports import commands
from reports.reading import Run
from reports.sections.kinds import Drawn, Section, lacking


def section(run: Run, drawn: Drawn) -> Section:
    """How much each side can do, and how soon when it is busy."""
    command = commands.measure(run, "load")
    return Section(
        slug="load",
        title="Load",
        intro="What each side gets done at most on this machine, and how soon at shares of that. The sides "
        "share the machine with the services and the generator: a larger one lifts them all, not all alike.",
        figures=drawn.get("load", ()),
        gaps=lacking(
            ("the capacity of the sides", run.table("capacity").empty, command),
            ("the ramps that found it", run.table("ramps").empty, command),
            ("latency at shares of the capacity", run.table("load_latency").empty, command),
        ),
    )
