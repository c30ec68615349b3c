"""Two runs laid over each other: responses and phases, and B over A with its intervals.

A is grey and dashed, B has the side's colour, so that what changed stands out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import PercentFormatter

from bench.schema import SIDES
from reports.data import formatting
from reports.data.frames import groups, records
from reports.figures import canvas
from reports.figures.forest_sheet import SHORT
from reports.figures.latency.ecdf import Curve, curves, steps
from reports.figures.periodic.phase import ON_TIME_MS
from reports.figures.rows import Row, draw, log_ticks
from reports.versus.two_runs import Pair

#: Inches of one plot, of the title above each, of the axis with the legend under the last, of the scale.
PLOT_HEIGHT, TITLE_HEIGHT, FOOT_HEIGHT, SCALE_WIDTH = 1.15, 0.35, 0.8, 0.75
#: Ticks drawn of one run, side and policy.
MOST_TICKS = 300
#: The metrics whose ratios are drawn; the table has all.
RATIOS = ("response", "caller", "request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A drawn figure and what it shows, in words."""

    slug: str
    title: str
    description: str
    caption: str
    svg: Markup


def ratios(pair: Pair) -> list[Overlay]:
    """For each scenario, B over A of the medians and of the highest quantile of the response."""
    found = []
    for scenario, group in groups(pair.rows, "scenario"):
        drawn = [row for row in map(_ratio, records(_picked(group))) if canvas.on_log_axis(row.middle)]
        if drawn:
            name = f"B over A: {formatting.scenario(str(scenario))}"
            caption = (
                "Right of 1, B takes longer. The bar is the 95 % interval over blocks, and the words follow "
                "it; a figure without a bar has none."
            )
            text = canvas.sentences([f"{row.label}: {row.text}" for row in drawn])
            sheet = draw(drawn, label="B over A (log)", log=True)
            found.append(_overlay(canvas.slug("ratio", str(scenario)), name, text, caption, sheet))
    return found


def _picked(group: pd.DataFrame) -> pd.DataFrame:
    tail = group[group["metric"] == "response"]["quantile"].max()
    highest = (group["metric"] == "response") & (group["quantile"] == tail)
    kept: pd.DataFrame = group[
        (highest | (group["quantile"] == formatting.MEDIAN)) & group["metric"].isin(RATIOS)
    ]
    return kept


def _ratio(row: dict[str, object]) -> Row:
    numbers = {name: float(str(row[name])) for name in ("quantile", "ratio", "low", "high")}
    said = str(row["words"])
    return Row(
        label=(
            f"{formatting.side(str(row['side']))}: "
            f"{formatting.metric(str(row['metric']), numbers['quantile'])}"
        ),
        text=f"{formatting.fold(numbers['ratio'])}, {SHORT.get(said, said)}",
        side=str(row["side"]),
        middle=numbers["ratio"],
        low=numbers["low"],
        high=numbers["high"],
    )


def responses(pair: Pair) -> list[Overlay]:
    """A figure for each scenario that has jobs in both runs: a plot a side, both runs in it."""
    jobs = {letter: dict(groups(run.table("jobs"), "scenario")) for letter, run in pair.runs}
    found = []
    for scenario in (name for name in jobs["A"] if name in jobs["B"]):
        a, b = ({curve.side: curve for curve in curves(jobs[letter][scenario])} for letter in "AB")
        sides = [side for side in SIDES if side in a or side in b]
        if sides:
            name = f"Response of {formatting.scenario(str(scenario))}"
            text = canvas.sentences([_jobs_told(side, a.get(side), b.get(side)) for side in sides])
            sheet, slug = _ecdf_sheet(sides, a, b), canvas.slug("overlay", str(scenario))
            found.append(_overlay(slug, name, text, f"{_ECDF_CAPTION} {text}", sheet))
    return found


_ECDF_CAPTION = (
    "The share of jobs whose effect was there so long after they were due: A dashed, B solid. A curve "
    "that stops below 100 % has jobs that were not finished by the drain limit."
)


def _jobs_told(side: str, *both: Curve | None) -> str:
    parts = [
        f"{letter} {curve.total} jobs" + (f", {curve.unfinished} unfinished" if curve.unfinished else "")
        for letter, curve in zip("AB", both, strict=True)
        if curve
    ]
    return f"{formatting.side(side)}: {'; '.join(parts)}"


def _ecdf_sheet(sides: Sequence[str], a: dict[str, Curve], b: dict[str, Curve]) -> Sheet:
    figure, plots = _stacked(len(sides))
    every = [*a.values(), *b.values()]
    low, high = min(float(c.finished_ms[0]) for c in every), max(float(c.finished_ms[-1]) for c in every)
    for axes, side in zip(plots, sides, strict=True):
        axes.set_xscale("log")
        axes.set_xlim(low / 1.3, high * 1.3)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_title(formatting.side(side))
        log_ticks(axes)
        for letter, curve in (("A", a.get(side)), ("B", b.get(side))):
            if curve is not None:
                times, shares = steps(curve)
                axes.step(
                    [times[0], *times], [0.0, *shares], where="post", label=letter, **_line(letter, side)
                )
    _foot(figure, plots, "response, ms (log)")
    return figure


def phases(pair: Pair) -> list[Overlay]:
    """One figure: a plot for each side and policy that synced in both runs, both runs' ticks in it."""
    ticks = {
        letter: dict(groups(_drawable(run.table("ticks")), "side", "policy")) for letter, run in pair.runs
    }
    subjects = [subject for subject in ticks["A"] if subject in ticks["B"]]
    if not subjects:
        return []
    text = canvas.sentences(
        [_ticks_told(subject, ticks["A"][subject], ticks["B"][subject]) for subject in subjects]
    )
    caption = (
        "How many milliseconds after its moment on the grid each tick began: A as grey crosses, B in the "
        "side's colour. Inside the shade (0 to 50 ms) is on time. Each plot has its own scale."
    )
    sheet = _phase_sheet(subjects, ticks)
    return [_overlay("overlay-phase", "Phase of the periodic sync over time", text, caption, sheet)]


def _drawable(ticks: pd.DataFrame) -> pd.DataFrame:
    return ticks[(ticks["due_ns"].abs() < math.inf) & (ticks["phase_ms"].abs() < canvas.LARGEST)]


def _ticks_told(subject: tuple[str, str], a: pd.DataFrame, b: pd.DataFrame) -> str:
    last = [
        f"{letter} {formatting.ms(float(rows.sort_values('due_ns')['phase_ms'].iloc[-1]))}"
        for letter, rows in (("A", a), ("B", b))
    ]
    side, policy = formatting.side(subject[0]), formatting.policy(subject[1])
    return f"{side}, {policy}: the last tick at {' and '.join(last)}"


def _phase_sheet(
    subjects: Sequence[tuple[str, str]], ticks: dict[str, dict[tuple[str, str], pd.DataFrame]]
) -> Sheet:
    figure, plots = _stacked(len(subjects))
    for axes, subject in zip(plots, subjects, strict=True):
        axes.axhspan(0, ON_TIME_MS, color=canvas.BAND, linewidth=0)
        for letter in "AB":
            _ticks(axes, letter, subject[0], ticks[letter][subject])
        axes.set_title(canvas.plain(f"{formatting.side(subject[0])}, {formatting.policy(subject[1])}", 60))
        axes.set_ylabel("phase, ms")
    _foot(figure, plots, "time since the first tick, s")
    return figure


def _ticks(axes: Axes, letter: str, side: str, rows: pd.DataFrame) -> None:
    elapsed = (rows["due_ns"] - rows.groupby("block")["due_ns"].transform("min")) / 1e9
    kept = rows.iloc[:: max(1, len(rows) // MOST_TICKS + 1)] if len(rows) > MOST_TICKS else rows
    marker, colour = ("x", canvas.MUTED) if letter == "A" else (canvas.marker(side), canvas.colour(side))
    axes.plot(
        elapsed.loc[kept.index], kept["phase_ms"], marker, color=colour, markersize=3, alpha=0.7, label=letter
    )


def _stacked(plots: int) -> tuple[Sheet, list[Axes]]:
    height = FOOT_HEIGHT + (PLOT_HEIGHT + TITLE_HEIGHT) * plots
    return canvas.sheet(
        height, plots, left=SCALE_WIDTH, top=TITLE_HEIGHT, bottom=FOOT_HEIGHT, gap=TITLE_HEIGHT
    )


def _foot(figure: Sheet, plots: Sequence[Axes], label: str) -> None:
    for axes in plots[:-1]:
        axes.tick_params(labelbottom=False)
    plots[-1].set_xlabel(label)
    handles = {
        text: handle for axes in plots for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    ordered = sorted(handles)
    figure.legend(
        [handles[text] for text in ordered], [f"run {text}" for text in ordered], loc="lower left", ncols=2
    )


def _line(letter: str, side: str) -> dict[str, Any]:
    if letter == "A":
        return {"color": canvas.MUTED, "linestyle": "--", "linewidth": 1.4}
    return {"color": canvas.colour(side), "linestyle": "-", "linewidth": 1.9}


def _overlay(slug: str, title: str, description: str, caption: str, sheet: Sheet) -> Overlay:
    drawn = canvas.svg(sheet, slug=slug, title=title, description=description)
    return Overlay(slug=slug, title=title, description=description, caption=caption, svg=drawn)
