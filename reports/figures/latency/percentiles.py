"""Latency by percentile, on a scale that gives each nine the same room: the tail is where sides part.

A line is all jobs of all blocks that count; a dot is the same percentile of one block. A line that
ends before p99 has jobs beyond it that were not finished by the drain limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.schema import MINIMUM_SAMPLES, SIDES
from reports.data import evidence, formatting, quantiles, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.data.tables import Table, middle_and_range, table
from reports.figures import canvas
from reports.figures.latency.ecdf import hiccup_ms
from reports.figures.line_chart import Plot, Scale, Trend, draw, plot

#: Points of a drawn line.
POINTS = 90
#: Inches of a plot.
HEIGHT = 1.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One metric of one plot: its heading, its name in `latency.csv`, and where its single values are."""

    heading: str
    metric: str
    table: str
    column: str


RESPONSE = Shown(heading="response (log)", metric="response", table="jobs", column="response_ms")
CALLER = Shown(heading="caller cost (log)", metric="caller", table="jobs", column="caller_ms")
REQUEST = Shown(
    heading="HTTP request as its client sees it (log)",
    metric="request",
    table="requests",
    column="latency_ms",
)


def responses(run: Run) -> list[canvas.Figure]:
    """The response of each scenario."""
    return _figures(
        run,
        "percentiles",
        "Response by percentile: {}",
        (RESPONSE,),
        "From due to effect. The last nines are what one person in a hundred or in a thousand waits.",
    )


def callers(run: Run) -> list[canvas.Figure]:
    """What the caller pays in each scenario, and the whole request apart from it."""
    return _figures(
        run,
        "caller",
        "What the caller pays: {}",
        (CALLER, REQUEST),
        "Caller cost is how long the hand-over takes; the request is all that its client waits for.",
    )


def place(share: float) -> float:
    """Where a percentile lies on the scale: 1 at p90, 2 at p99, 3 at p99.9."""
    return -math.log10(1 - share)


def line(values: npt.NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """The places and values from p10 up to the highest percentile that so many values may speak of.

    It ends where the value is that of an unfinished job.
    """
    allowed = quantiles.printable(len(values))
    if not allowed:
        return ()
    ordered = np.sort(values)
    shares = 1 - 10 ** -np.linspace(place(0.1), place(allowed[-1]), POINTS)
    found = [(place(float(share)), quantiles.quantile(ordered, float(share))) for share in shares]
    return tuple(point for point in found if canvas.on_log_axis(point[1]))


def _figures(run: Run, kind: str, title: str, shown: Sequence[Shown], caption: str) -> list[canvas.Figure]:
    found = []
    for scenario in dict.fromkeys(map(str, run.table("jobs")["scenario"])):
        plots = [drawn for one in shown if (drawn := _plot(run, one, scenario))]
        if plots:
            name = formatting.scenario(scenario)
            found.append(
                canvas.figure(
                    draw(plots, _scale(plots), height=HEIGHT),
                    slug=canvas.slug(kind, scenario),
                    title=title.format(name),
                    description=_describe(run, shown, scenario),
                    caption=caption,
                    notes="The line is all blocks that count, taken together; a pale dot is one block. Each "
                    "nine has the same room. Shaded: the machine's own hiccup p99.",
                    n=_counts(run, scenario),
                    command=rerun_commands.measure(run, "latency", scenario),
                    numbers=numbers(run, shown, scenario),
                    raw=(*dict.fromkeys(one.table for one in shown), "latency"),
                )
            )
    return found


def _plot(run: Run, shown: Shown, scenario: str) -> Plot | None:
    rows = run.table(shown.table)
    rows = rows[rows["scenario"] == scenario]
    blocks = _by_block(run, shown.metric, scenario)
    trends = [
        Trend(
            name=formatting.narrow_side(side),
            side=side,
            points=line(rows[rows["side"] == side][shown.column].dropna().to_numpy(dtype=float)),
            dots=tuple(
                (place(share), value)
                for share, value in blocks[blocks["side"] == side][["quantile", "value_ms"]].to_numpy()
            ),
            marked=False,
        )
        for side in SIDES
    ]
    return plot(shown.heading, trends, times=True, floor=hiccup_ms(run))


def _by_block(run: Run, metric: str, scenario: str) -> pd.DataFrame:
    """The rows of `latency.csv` whose quantile is one that is printed."""
    found = run.table("latency")
    same = (found["metric"] == metric) & (found["scenario"] == scenario)
    return found[same & found["quantile"].isin(MINIMUM_SAMPLES)]


def _scale(plots: Sequence[Plot]) -> Scale:
    farthest = max(point[0] for item in plots for trend in item.trends for point in trend.points)
    marks = {place(share): formatting.percentile(share) for share in (0.5, 0.9, 0.99, 0.999)}
    shown = {at: name for at, name in marks.items() if at <= farthest + 0.01}
    return Scale(name="percentile", places=shown)


def numbers(run: Run, shown: Sequence[Shown], scenario: str) -> Table | None:
    """Every quantile: the median over blocks, with the range of the blocks."""
    rows = []
    for one in shown:
        found = _by_block(run, one.metric, scenario).dropna(subset=["value_ms"])
        for share, group in sorted(groups(found, "quantile"), key=lambda item: item[0]):
            cells = {
                formatting.side(side): middle_and_range(
                    group[group["side"] == side]["value_ms"], formatting.ms
                )
                for side in SIDES
                if side in set(found["side"])
            }
            rows.append({"quantile": formatting.metric(one.metric, float(share))} | cells)
    return table("the median over blocks, with the range of the blocks", rows, folded=True)


def _describe(run: Run, shown: Sequence[Shown], scenario: str) -> list[str]:
    parts = []
    for one in shown:
        found = _by_block(run, one.metric, scenario).dropna(subset=["value_ms"])
        for (side, share), group in groups(found, "side", "quantile"):
            if share in {0.5, found["quantile"].max()}:
                value = formatting.ms(evidence.middle(group["value_ms"]))
                parts.append(
                    f"{formatting.metric(one.metric, float(share))}, {formatting.side(side)}: {value}"
                )
    return parts


def _counts(run: Run, scenario: str) -> str:
    """As in "in-process 4,960 jobs in 10 blocks, …"."""
    jobs = run.table("jobs")
    jobs = jobs[jobs["scenario"] == scenario]
    parts = [
        f"{formatting.side(side)} {formatting.count(len(rows))} jobs in "
        f"{formatting.plural(rows['block'].nunique(), 'block')}"
        for side in SIDES
        if len(rows := jobs[jobs["side"] == side])
    ]
    return ", ".join(parts)
