"""Latency at shares of each side's own capacity, and where it did not keep up."""

from __future__ import annotations

import math

import pandas as pd

from bench.schema import MINIMUM_SAMPLES
from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.data.tables import Table, headings, middle_and_range, ordered, table
from reports.figures import canvas
from reports.figures.line_chart import Plot, Scale, Trend, draw, plot

#: How far apart the sides stand at one share, as a part of the distance of two shares.
APART = 0.12


def loads(run: Run) -> list[canvas.Figure]:
    """A figure for each scenario that was measured under load."""
    latency = run.table("load_latency")
    found = latency[(latency["metric"] == "response") & latency["quantile"].isin(MINIMUM_SAMPLES)]
    shares = sorted(
        share for share in {*found["share"], *run.table("loads")["share"]} if canvas.on_log_axis(share)
    )
    return [
        figure
        for scenario, rows in groups(found, "scenario")
        if (figure := _figure(run, str(scenario), rows, shares))
    ]


def _figure(run: Run, scenario: str, rows: pd.DataFrame, shares: list[float]) -> canvas.Figure | None:
    plots = [
        drawn
        for share in _two(rows)
        if (
            drawn := _plot(
                run,
                rows[rows["quantile"] == share],
                formatting.metric("response", share),
                shares,
            )
        )
    ]
    if not plots:
        return None
    scale = Scale(
        name="share of the side's own capacity",
        places={float(at): formatting.percent(share) for at, share in enumerate(shares)},
    )
    blocks = rows["block"].nunique()
    return canvas.figure(
        draw(plots, scale),
        slug=canvas.slug("load", scenario),
        title=f"Response under load: {formatting.scenario(scenario)}",
        description=_describe(rows, shares),
        caption="How soon a job has its effect when the side is busy, at shares of that side's own capacity.",
        notes="The loads differ in requests a second, as the capacities do. The line joins medians; a pale "
        "dot is one block. A cross at the top: the backlog grew, so a percentile would only tell how long "
        "the block was, and none is drawn; the table has the growth.",
        n=formatting.plural(blocks, "block"),
        command=rerun_commands.measure(run, "load", scenario),
        numbers=numbers(run, rows),
        raw=("load_latency", "loads"),
    )


def _two(rows: pd.DataFrame) -> list[float]:
    """The median, and the highest quantile that every side has."""
    common = set.intersection(*({*own["quantile"]} for _, own in groups(rows, "side")))
    return sorted({min(common), max(common)}) if common else []


def _plot(run: Run, rows: pd.DataFrame, heading: str, shares: list[float]) -> Plot | None:
    sides = ordered(rows["side"])
    overloaded = run.table("loads")
    overloaded = overloaded[overloaded["overloaded"].fillna(value=False).astype(bool)]
    found = []
    for number, side in enumerate(sides):
        aside = APART * (number - (len(sides) - 1) / 2)
        own = rows[rows["side"] == side]
        middles = own.groupby("share")["value_ms"].median()
        found.append(
            Trend(
                name=formatting.narrow_side(side),
                side=side,
                points=tuple(
                    (shares.index(share) + aside, ms)
                    for share, ms in zip(middles.index.to_numpy(), middles, strict=True)
                    if share in shares
                ),
                dots=tuple(
                    (shares.index(share) + aside, ms)
                    for share, ms in own[["share", "value_ms"]].to_numpy()
                    if share in shares
                ),
                crosses=tuple(
                    (shares.index(share) + aside, 0.0)
                    for share in sorted(set(overloaded[overloaded["side"] == side]["share"]))
                    if share in shares
                ),
            )
        )
    return plot(heading, found, times=True)


def _describe(rows: pd.DataFrame, shares: list[float]) -> list[str]:
    middle = rows[rows["quantile"] == formatting.MEDIAN]
    return [
        f"{formatting.side(side)} at {formatting.percent(share)}: median "
        f"{formatting.ms(evidence.middle(own['value_ms']))}"
        for (side, share), own in groups(middle, "side", "share")
        if share in shares
    ]


def numbers(run: Run, rows: pd.DataFrame) -> Table | None:
    """Rate, backlog and quantiles of every side at every share."""
    found, names = [], headings("loads")
    for (side, share), own in groups(run.table("loads"), "side", "share"):
        values = rows[(rows["side"] == side) & (rows["share"] == share)]
        requests, jobs = (own["rate_per_s"] * own["seconds"]).sum(), own["due_jobs"].sum()
        growth = evidence.middle(own["growth_per_s"]) * requests / jobs if jobs else math.nan
        cells = {
            "at": f"{formatting.side(str(side))}, {formatting.percent(share)}",
            names["rate_per_s"]: formatting.number(evidence.middle(own["rate_per_s"])),
            names["done_jobs"]: formatting.count_of(own["done_jobs"].sum(), own["due_jobs"].sum()),
            names["refused"]: formatting.count(own["refused"].sum()),
            names["growth_per_s"]: f"{formatting.number(growth)} requests/s",
            names["cleared_s"]: formatting.seconds(evidence.middle(own["cleared_s"])),
            names["side_cores"]: formatting.number(evidence.middle(own["side_cores"])),
        }
        for quantile in sorted(rows["quantile"].unique()):
            name = formatting.metric("response", float(quantile))
            cells[name] = middle_and_range(
                values[values["quantile"] == quantile]["value_ms"].dropna(), formatting.ms
            )
        found.append(cells)
    return table("every side at every share", found, folded=True)
