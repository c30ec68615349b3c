"""From the spawn of a side to its first effect: one dot a cold start."""

from __future__ import annotations

import pandas as pd

from bench.schema import SCHEMA
from reports.data import formatting, rerun_commands
from reports.data.run import Run
from reports.data.tables import Table, middle_and_range, ordered, table
from reports.figures import canvas
from reports.figures.dot_strips import describe, draw, panel_by_side

#: The plots, a column each.
SHOWN = tuple(SCHEMA["cold"][name] for name in ("first_effect_s", "app_s", "worker_s", "broker_s"))


def cold_starts(run: Run) -> canvas.Figure | None:
    """The whole start and its parts; None where no cold start was measured."""
    found = run.table("cold")
    plots = [
        drawn
        for column in SHOWN
        if (drawn := panel_by_side(column.heading, found, column.name, unit=formatting.seconds))
    ]
    if not plots:
        return None
    return canvas.figure(
        draw(plots),
        slug="cold-start",
        title="Cold start",
        description=describe(plots),
        caption="How long nothing is served after a deploy or a crash of the machine.",
        notes="The parts start together, so they do not add up; the services that every side calls are not "
        "counted. The mark is the median, a pale dot one start, the bar their range.",
        n=formatting.plural(len(found), "start"),
        command=rerun_commands.measure(run, "cold"),
        numbers=numbers(found),
        raw=("cold",),
    )


def numbers(found: pd.DataFrame) -> Table | None:
    """The plotted times, with their ranges."""
    rows = []
    for side in ordered(found["side"]):
        own = found[found["side"] == side]
        cells = {column.label: middle_and_range(own[column.name], formatting.seconds) for column in SHOWN}
        rows.append({"side": formatting.side(side), "starts": formatting.count(len(own))} | cells)
    return table("the median over starts, with the range", rows, folded=True)
