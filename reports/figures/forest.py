"""The median and the highest quantile of each comparison with in-process, as ratios with intervals.

Each metric has a heading with a line for every side: mark, 95 % interval, a pale dot for each pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reports import commands, evidence, words
from reports.evidence import ROUNDING, TASK, Comparison
from reports.figures import canvas
from reports.figures.forest_sheet import Line, draw
from reports.frames import groups, records
from reports.reading import Run

#: Metrics that are shown, in this order; the table under the figure has all of them.
SHOWN = ("response", "caller", "request")


def forests(run: Run) -> list[canvas.Figure]:
    """A figure for each scenario that has comparisons with in-process."""
    table, latency = run.table("comparisons"), run.table("latency")
    hiccups = {str(row["block"]): float(row["hiccup_p99_ms"]) for row in records(run.valid_blocks())}
    found = []
    for scenario, group in groups(table, "scenario"):
        own = latency[latency["scenario"] == scenario]
        items = ends(against_task(evidence.in_rows(group)))
        lines = [_line(item, own, hiccups) for item in items if canvas.on_log_axis(item.ratio)]
        if lines:
            found.append(_figure(run, str(scenario), lines))
    return found


def against_task(comparisons: list[Comparison]) -> list[Comparison]:
    """Those with in-process, told so that it is the baseline, by metric and then as the table has them."""
    turned = [item.flipped() if item.side == TASK else item for item in comparisons]
    kept = [item for item in turned if item.baseline == TASK and item.metric in SHOWN]
    return sorted(kept, key=lambda item: (SHOWN.index(item.metric), item.quantile))


def ends(comparisons: list[Comparison]) -> list[Comparison]:
    """Of each metric the median and the highest quantile that has a ratio."""
    highest: dict[str, float] = {}
    for item in comparisons:
        if canvas.on_log_axis(item.ratio):
            highest[item.metric] = max(item.quantile, highest.get(item.metric, 0.0))
    return [item for item in comparisons if item.quantile in {words.MEDIAN, highest.get(item.metric)}]


def pair_ratios(
    latency: pd.DataFrame, item: Comparison, hiccups: Mapping[str, float] | None = None
) -> tuple[float, ...]:
    """The ratio within each repetition; several blocks of one side count by their geometric mean.

    As in the interval, no value counts for less than the machine's own hiccup: the median over the blocks.
    """
    same = (latency["metric"] == item.metric) & ((latency["quantile"] - item.quantile).abs() < ROUNDING)
    rows = latency[same & (latency["value_ms"] > 0) & (latency["value_ms"] < math.inf)]
    floor = evidence.middle(rows["block"].map(hiccups or {}).astype("float64"))
    values = rows["value_ms"].clip(lower=floor) if 0 < floor < math.inf else rows["value_ms"]
    logs = rows.assign(log=np.log(values)).pivot_table(index="repetition", columns="side", values="log")
    if item.side not in logs or item.baseline not in logs:
        return ()
    ratios = np.exp((logs[item.side] - logs[item.baseline]).dropna())
    return tuple(float(ratio) for ratio in ratios)


def _line(item: Comparison, latency: pd.DataFrame, hiccups: Mapping[str, float]) -> Line:
    return Line(
        heading=words.metric(item.metric, item.quantile),
        side=item.side,
        words=item.words,
        middle=item.ratio,
        low=item.low,
        high=item.high,
        dots=pair_ratios(latency, item, hiccups),
    )


def _figure(run: Run, scenario: str, lines: Sequence[Line]) -> canvas.Figure:
    slug = canvas.slug("forest", scenario)
    title = f"Every side against in-process: {words.scenario(scenario)}"
    description = canvas.sentences(
        [
            f"{line.heading}, {words.side(line.side)}: {words.fold(line.middle)}, {line.words}"
            for line in lines
        ]
    )
    return canvas.Figure(
        slug=slug,
        title=title,
        description=description,
        caption="Right of the line is slower than in-process. The bar is the 95 % interval over pairs of "
        "blocks, with an arrow where it goes on; each pale dot is one pair, and a single pair has no "
        "interval. Nothing counts for less than the machine's own hiccup. The table has every quantile.",
        command=commands.measure(run, "latency", scenario),
        svg=canvas.svg(draw(lines), slug=slug, title=title, description=description),
    )
