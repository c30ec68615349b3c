"""The median and the highest quantile of each comparison with in-process, as ratios with intervals.

Each metric has a heading with a line for every side: mark, 95 % interval, a pale dot for each pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.schema import SIDES
from reports.data import evidence, formatting, old_runs, rerun_commands
from reports.data.evidence import ROUNDING, TASK, Comparison
from reports.data.frames import groups, records
from reports.data.run import Run
from reports.data.tables import Table, table
from reports.figures import canvas
from reports.figures.forest_sheet import FARTHEST, Line, draw

#: Metrics that are shown, in this order; the table under the figure has all of them.
SHOWN = ("response", "caller", "request")


def forests(run: Run) -> list[canvas.Figure]:
    """A figure for each scenario that has comparisons with in-process."""
    table, latency = run.table("comparisons"), run.table("latency")
    found = []
    for scenario, group in groups(table, "scenario"):
        own = latency[latency["scenario"] == scenario]
        items = ends(against_task(evidence.in_rows(group)))
        lines = [_line(item, own) for item in items if canvas.on_log_axis(item.ratio)]
        if lines:
            found.append(_figure(run, str(scenario), lines))
    return found


def against_task(comparisons: list[Comparison]) -> list[Comparison]:
    """The comparisons with in-process as the baseline, by metric, then in the order of the table."""
    turned = [item.flipped() if item.side == TASK else item for item in comparisons]
    kept = [item for item in turned if item.baseline == TASK and item.metric in SHOWN]
    return sorted(kept, key=lambda item: (SHOWN.index(item.metric), item.quantile, _place(item.side)))


def _place(side: str) -> int:
    return SIDES.index(side) if side in SIDES else len(SIDES)


def ends(comparisons: list[Comparison]) -> list[Comparison]:
    """Of each metric the median and the highest quantile that has a ratio."""
    highest: dict[str, float] = {}
    for item in comparisons:
        if canvas.on_log_axis(item.ratio):
            highest[item.metric] = max(item.quantile, highest.get(item.metric, 0.0))
    return [item for item in comparisons if item.quantile in {formatting.MEDIAN, highest.get(item.metric)}]


def pair_ratios(latency: pd.DataFrame, item: Comparison) -> tuple[float, ...]:
    """The ratio within each repetition; several blocks of one side count by their geometric mean."""
    same = (latency["metric"] == item.metric) & ((latency["quantile"] - item.quantile).abs() < ROUNDING)
    rows = latency[same & (latency["value_ms"] > 0) & (latency["value_ms"] < math.inf)]
    logs = np.log(rows["value_ms"]).groupby([rows["repetition"], rows["side"]]).mean().unstack("side")  # noqa: PD010 - a pivot_table takes three times as long
    if item.side not in logs or item.baseline not in logs:
        return ()
    ratios = np.exp((logs[item.side] - logs[item.baseline]).dropna())
    return tuple(float(ratio) for ratio in ratios)


def _line(item: Comparison, latency: pd.DataFrame) -> Line:
    return Line(
        heading=formatting.metric(item.metric, item.quantile),
        side=item.side,
        words=item.called,
        middle=item.ratio,
        low=item.low,
        high=item.high,
        dots=pair_ratios(latency, item),
    )


def _figure(run: Run, scenario: str, lines: Sequence[Line]) -> canvas.Figure:
    described = [
        f"{line.heading}, {formatting.side(line.side)}: {formatting.fold(line.middle)}, {line.words}"
        for line in lines
    ]
    pairs = sorted({len(line.dots) for line in lines})
    counts = " to ".join(formatting.count(n) for n in dict.fromkeys((pairs[0], pairs[-1])))
    return canvas.figure(
        draw(lines, floor=floor(run)),
        slug=canvas.slug("forest", scenario),
        title=f"Every side against in-process: {formatting.scenario(scenario)}",
        description=described,
        caption="How many times as long as in-process: right of the line is longer. The bar is the 95 % "
        "interval.",
        notes="The ratio is the geometric mean over the pairs of blocks, the difference that of the sides' "
        "own geometric means; the median over all blocks of a side is another figure. A t-interval over "
        "pairs of blocks, with an arrow where it goes on; each pale dot is one pair, "
        f"and a single pair has no interval. {_floor_describe(run)}{_corrected(run)}",
        n=f"{counts} pairs of blocks",
        command=rerun_commands.measure(run, "latency", scenario),
        numbers=numbers(run, scenario),
        raw=("comparisons", "latency", "blocks"),
    )


def floor(run: Run) -> float:
    """The factor by which two blocks of one side differ by noise alone; 1.0 where it was not measured."""
    factor = run.mapping("noise").get("aa_factor")
    return float(factor) if isinstance(factor, int | float) and 1 < factor < FARTHEST else 1.0


def _floor_describe(run: Run) -> str:
    factor, figure = floor(run), run.mapping("noise").get("aa_figure", "")
    if factor == 1:
        return ""
    named = isinstance(figure, Mapping)
    scenario = str(figure.get("scenario", "")) if named else old_runs.floor_scenario(str(figure))
    of = f" in the median response of {formatting.scenario(scenario)}" if scenario else ""
    return (
        "Shaded is the A/A floor: by so much two blocks of one side differ by noise alone, "
        f"{formatting.fold(factor)}{of}. "
    )


def _corrected(run: Run) -> str:
    """The correction behind the words; empty for a run of an earlier version."""
    tested = int(run.table("comparisons")["p"].notna().sum())
    return f"Words follow Holm's correction over the {tested} comparisons of the run. " if tested else ""


def numbers(run: Run, scenario: str) -> Table | None:
    """Every comparison of the scenario with its interval, words and what led to them."""
    found = run.table("comparisons")
    rows = [
        {
            "what": formatting.metric(row["metric"], row["quantile"]),
            "side": f"{formatting.side(row['side'])} over {formatting.side(row['baseline'])}",
            "ratio (95 %)": formatting.times(row["ratio"], row["low"], row["high"]),
            "difference": formatting.ms(row["difference_ms"]),
            "pairs": formatting.count(row["pairs"]),
            "in words": formatting.called(row["words"], row["pairs"], row["pairs_needed"]),
            "margin": formatting.ms(row["margin_ms"]),
            "p (Holm)": formatting.p_value(row["p_holm"]),
            "why": formatting.minus_signs(row["why"]),
        }
        for row in records(found[found["scenario"] == scenario])
        if row["metric"] != "host_tax"  # a ratio of two differences near zero says nothing
    ]
    return table(
        "every comparison over pairs of blocks, with its 95 % t-interval",
        rows,
        ("side", "in words", "why"),
        folded=True,
    )
