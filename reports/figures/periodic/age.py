"""How old a synced balance is for whoever reads it, by policy: one dot for each owner of each block."""

from __future__ import annotations

import pandas as pd

from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.data.tables import Table, table
from reports.figures import canvas
from reports.figures.dot_strips import Line, Panel, describe, draw, line, panel

#: The plots: heading and column.
SHOWN = {
    "age that 99 % of the time is not exceeded: median, ms": "age_p99_ms",
    "oldest at any moment: median, ms": "age_max_ms",
}


def age(run: Run) -> canvas.Figure | None:
    """The age's p99 over time and its maximum; None where none was measured."""
    found = [
        (str(side), str(policy), rows)
        for (side, policy), rows in groups(run.table("drift"), "side", "policy")
        if rows["age_p99_ms"].notna().any()
    ]
    plots = [drawn for heading, column in SHOWN.items() if (drawn := _plot(heading, column, found))]
    if not plots:
        return None
    owners = sum(len(rows) for _, _, rows in found)
    return canvas.figure(
        draw(plots),
        slug="age",
        title="How old the balance gets",
        description=describe(plots),
        caption="How old the balance is for whoever looks at it. A sync every second that takes no time "
        "would be 1,000 ms old at most.",
        notes="Now minus the due time of the last sync that was done, weighted by time. The mark is the "
        "median, each pale dot one owner in one block, the bar their range, which ends at the maximum.",
        n=f"{formatting.count(owners)} owners in "
        f"{formatting.plural(run.table('drift')['block'].nunique(), 'block')}",
        command=rerun_commands.measure(run, "drift"),
        numbers=numbers(found),
        raw=("drift",),
    )


def _plot(heading: str, column: str, found: list[tuple[str, str, pd.DataFrame]]) -> Panel | None:
    return panel(heading, [_line(side, policy, rows[column]) for side, policy, rows in found])


def _line(side: str, policy: str, values: pd.Series[float]) -> Line:
    return line(
        values, name=f"{formatting.side(side)}, {formatting.policy(policy)}", side=side, unit=formatting.age
    )


def numbers(found: list[tuple[str, str, pd.DataFrame]]) -> Table | None:
    """The plotted ages, with their ranges."""
    rows = [
        {
            "side and policy": f"{formatting.side(side)}, {formatting.policy(policy)}",
            "owners times blocks": formatting.count(len(rows)),
        }
        | {
            heading: formatting.spread(
                formatting.age(evidence.middle(rows[column])),
                formatting.age(float(rows[column].min())),
                formatting.age(float(rows[column].max())),
            )
            for heading, column in SHOWN.items()
        }
        for side, policy, rows in found
    ]
    return table("medians over owners and blocks, with the range", rows, folded=True)
