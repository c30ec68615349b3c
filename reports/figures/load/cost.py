"""What each side uses, and what has to run for it, under the same load: one dot per latency block."""

from __future__ import annotations

from collections.abc import Mapping

from bench.schema import SCHEMA
from reports.data import formatting, rerun_commands
from reports.data.run import Run
from reports.data.tables import Table, middle_and_range, ordered, table
from reports.figures import canvas
from reports.figures.dot_strips import describe, draw, panel_by_side

#: What a side uses: heading and column.
RESOURCES = {
    SCHEMA["cost"][name].heading: name for name in ("cpu_s_per_1000", "pss_mb", "broker_commands_per_job")
}
#: What has to run and be set for it.
PARTS = {
    SCHEMA["cost"]["processes"].label: "processes",
    f"open {SCHEMA['cost']['sockets'].label}": "sockets",
    f"{SCHEMA['cost']['config_lines'].label} that someone has to know": "config_lines",
}


def resource_usage(run: Run) -> canvas.Figure | None:
    """Processor, memory and broker commands."""
    return _figure(
        run,
        RESOURCES,
        slug="usage",
        title="What each side uses",
        caption="Processor, memory and broker traffic for the same jobs, broker and workers included: "
        "what the machine is rented for.",
    )


def moving_parts(run: Run) -> canvas.Figure | None:
    """Processes, sockets and configuration lines."""
    return _figure(
        run,
        PARTS,
        slug="parts",
        title="What has to run",
        caption="Every process and socket can die on its own, and every line of configuration can be wrong: "
        "what there is to break.",
    )


def _figure(
    run: Run, shown: Mapping[str, str], *, slug: str, title: str, caption: str
) -> canvas.Figure | None:
    cost = run.table("cost")
    sides = ordered(cost["side"])
    plots = [
        drawn
        for heading, column in shown.items()
        if (drawn := panel_by_side(heading, cost, column, unit=formatting.amount))
    ]
    if not plots:
        return None
    counts = [
        f"{formatting.side(side)} {formatting.plural(len(cost[cost['side'] == side]), 'block')}"
        for side in sides
    ]
    return canvas.figure(
        draw(plots),
        slug=slug,
        title=title,
        description=describe(plots),
        caption=caption,
        notes="The mark is the median, each pale dot one block, the bar their range.",
        n=", ".join(counts),
        command=rerun_commands.measure(run, "latency"),
        numbers=numbers(run, shown),
        raw=("cost",),
    )


def numbers(run: Run, shown: Mapping[str, str]) -> Table | None:
    """The plotted numbers: the median over blocks, with the range."""
    cost = run.table("cost")
    rows = []
    for side in ordered(cost["side"]):
        own = cost[cost["side"] == side]
        cells = {
            heading: middle_and_range(own[column], formatting.amount) for heading, column in shown.items()
        }
        rows.append({"side": formatting.side(side), "blocks": formatting.count(len(own))} | cells)
    return table("the median over blocks, with the range", rows, folded=True)
