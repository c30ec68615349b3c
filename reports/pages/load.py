"""How much each side can do, and how soon when it is busy."""

from __future__ import annotations

from reports.data import formatting, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.pages.section import Section, lacking


def section(run: Run) -> Section:
    """How much each side can do, and how soon when it is busy."""
    command = rerun_commands.measure(run, "load")
    return Section(
        slug="load",
        title="Load",
        intro="What each side gets done at most on this machine, and how soon at shares of that. The sides "
        "share the machine with the services and the generator: a larger one lifts them all, not all alike.",
        gaps=lacking(
            ("the capacity of the sides", run.table("capacity").empty, command),
            ("the ramps that found it", run.table("ramps").empty, command),
            ("latency at shares of the capacity", run.table("load_latency").empty, command),
            *((f"the capacity of {side}: {reason}", True, command) for side, reason in _uncounted(run)),
        ),
    )


def _uncounted(run: Run) -> list[tuple[str, str]]:
    """The sides none of whose ramps counts, each with the reason of the last."""
    ramps = run.tables["blocks"][run.tables["blocks"]["measure"] == "capacity"]
    counting = set(run.valid_blocks()["block"])
    return [
        (formatting.side(str(side)), str(rows["reason"].iloc[-1]) or "no reason recorded")
        for side, rows in groups(ramps, "side")
        if not counting & set(rows["block"])
    ]
