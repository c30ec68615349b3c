"""Each comparison as a ratio to in-process with its 95 % interval, and a dot for each pair of blocks."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports import commands, evidence, words
from reports.evidence import ROUNDING, TASK, Comparison
from reports.figures import canvas
from reports.figures.rows import Row, draw, drawable, told
from reports.frames import groups
from reports.reading import Run

#: Metrics that are shown, in this order; the table under the figure has all of them.
SHOWN = ("response", "caller", "request", "host_tax")


def forests(run: Run) -> list[canvas.Figure]:
    """A figure for each scenario that has comparisons with in-process."""
    table, latency = run.table("comparisons"), run.table("latency")
    found = []
    for scenario, group in groups(table, "scenario"):
        own = latency[latency["scenario"] == scenario]
        rows = [_row(item, own) for item in against_task(evidence.in_rows(group))]
        if drawn := [row for row in rows if drawable(row)]:
            found.append(_figure(run, str(scenario), drawn))
    return found


def against_task(comparisons: list[Comparison]) -> list[Comparison]:
    """Those with in-process, told so that it is the baseline, by metric and then as the table has them."""
    turned = [item.flipped() if item.side == TASK else item for item in comparisons]
    kept = [item for item in turned if item.baseline == TASK and item.metric in SHOWN]
    return sorted(kept, key=lambda item: (SHOWN.index(item.metric), item.quantile))


def pair_ratios(latency: pd.DataFrame, item: Comparison) -> tuple[float, ...]:
    """The ratio within each repetition; several blocks of one side count by their geometric mean."""
    same = (latency["metric"] == item.metric) & ((latency["quantile"] - item.quantile).abs() < ROUNDING)
    rows = latency[same & (latency["value_ms"] > 0) & (latency["value_ms"] < math.inf)]
    logs = rows.assign(log=np.log(rows["value_ms"])).pivot_table(
        index="repetition", columns="side", values="log"
    )
    if item.side not in logs or item.baseline not in logs:
        return ()
    ratios = np.exp((logs[item.side] - logs[item.baseline]).dropna())
    return tuple(float(ratio) for ratio in ratios)


def _row(item: Comparison, latency: pd.DataFrame) -> Row:
    return Row(
        label=f"{words.metric(item.metric, item.quantile)}, {words.side(item.side)}",
        told=f"{words.fold(item.ratio)}, {item.words}",
        side=item.side,
        middle=item.ratio,
        low=item.low,
        high=item.high,
        dots=pair_ratios(latency, item),
    )


def _figure(run: Run, scenario: str, rows: list[Row]) -> canvas.Figure:
    slug = canvas.slug("forest", scenario)
    title = f"Every side against in-process: {words.scenario(scenario)}"
    description = canvas.sentences([told(row) for row in rows])
    sheet = draw(rows, label="ratio to in-process (log)", reference=1.0)
    return canvas.Figure(
        slug=slug,
        title=title,
        description=description,
        caption="Right of the line is slower than in-process. The bar is the 95 % interval over pairs of "
        "blocks, each pale dot one pair.",
        command=commands.measure(run, "latency", scenario),
        svg=canvas.svg(sheet, slug=slug, title=title, description=description),
    )
