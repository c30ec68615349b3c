"""What each side adds to the lag of the app's own event loop, one dot a block."""

from __future__ import annotations

from bench.schema import SIDES
from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.data.tables import Table, middle_and_range, table
from reports.figures import canvas
from reports.figures.rows import Row, describe, draw, in_blocks, span


def host_tax(run: Run) -> canvas.Figure | None:
    """The highest quantile of host tax that the run has, or None without one."""
    latency = run.table("latency")
    found = latency[latency["metric"] == "host_tax"].drop_duplicates(["block", "side", "quantile"])
    if found.empty:
        return None
    quantile = float(found["quantile"].max())
    rows = []
    for side in SIDES:
        values = found[(found["side"] == side) & (found["quantile"] == quantile)]["value_ms"].dropna()
        middle, (low, high) = evidence.middle(values), span(list(values))
        text = formatting.ms(middle)
        rows.append(
            Row(
                label=formatting.side(side),
                text=text,
                side=side,
                middle=middle,
                low=low,
                high=high,
                dots=tuple(values),
            )
        )
    drawn = [row for row in rows if canvas.on_plain_axis(row.middle)]
    return _figure(run, quantile, drawn) if drawn else None


def _figure(run: Run, quantile: float, rows: list[Row]) -> canvas.Figure:
    return canvas.figure(
        draw(rows, label="lag of the app's event loop beyond idle, ms", log=False),
        slug="host-tax",
        title=f"Host tax, {formatting.percentile(quantile)}",
        description=[describe(row) for row in rows],
        caption="How late a 10 ms ticker in the app's event loop ran, less the idle control: what the side "
        "takes from every other request.",
        notes="The mark is the median of the blocks, the bar their range. It is a difference, so it can come "
        "out below zero, and a ratio of two of them would say nothing.",
        n=", ".join(f"{row.label} {in_blocks(len(row.dots))}" for row in rows),
        command=rerun_commands.measure(run, "latency"),
        numbers=numbers(run),
        raw=("latency", "blocks"),
    )


def numbers(run: Run) -> Table | None:
    """Every quantile of the host tax: the median over blocks, with their range."""
    latency = run.table("latency")
    found = latency[latency["metric"] == "host_tax"].drop_duplicates(["block", "side", "quantile"])
    rows = [
        {"side": formatting.side(str(side))}
        | {
            formatting.percentile(float(share)): middle_and_range(
                group[group["quantile"] == share]["value_ms"].dropna(), formatting.ms
            )
            for share in sorted(found["quantile"].dropna().unique())
        }
        for side, group in groups(found, "side")
    ]
    return table("the median over blocks, with the range of the blocks", rows, folded=True)
