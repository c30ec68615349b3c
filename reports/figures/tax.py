"""What each side adds to the lag of the app's own event loop, one dot a block."""

from __future__ import annotations

from bench.schema import SIDES
from reports import commands, evidence, words
from reports.figures import canvas
from reports.figures.rows import Row, draw, in_blocks, span, told
from reports.reading import Run


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
        text = f"{words.ms(middle)}, {in_blocks(len(values))}"
        rows.append(
            Row(
                label=words.side(side),
                told=text,
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
    slug, title = "host-tax", f"Host tax, {words.percentile(quantile)}"
    description = canvas.sentences([told(row) for row in rows])
    sheet = draw(rows, label="lag of the app's event loop beyond idle, ms", log=False)
    return canvas.Figure(
        slug=slug,
        title=title,
        description=description,
        caption="How late a 10 ms ticker in the app's own event loop ran, less the idle control: what the "
        "side takes from every other request. The mark is the median of the blocks, the bar their range. "
        "It is a difference, so it can come out below zero, and a ratio of two of them would say nothing.",
        command=commands.measure(run, "latency"),
        svg=canvas.svg(sheet, slug=slug, title=title, description=description),
    )
