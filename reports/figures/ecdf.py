"""Response as an ECDF for each scenario: the share of jobs whose effect was there by a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import PercentFormatter

from bench.schema import SIDES
from reports import commands, words
from reports.figures import canvas, rows
from reports.frames import groups
from reports.reading import Run

#: Points of a drawn curve; more look the same and only make the file larger.
MOST_POINTS = 250
#: Inches under the plot for the axis, and for the legend under it.
AXIS_HEIGHT, LEGEND_HEIGHT = 0.55, 0.75


@dataclass(frozen=True, slots=True)
class Curve:
    """The finished jobs' responses in order, out of `total` jobs that were due."""

    side: str
    finished_ms: npt.NDArray[np.float64]
    total: int

    @property
    def unfinished(self) -> int:
        """Jobs without an effect by the drain limit."""
        return self.total - len(self.finished_ms)


def ecdfs(run: Run) -> list[canvas.Figure]:
    """A figure for each scenario that has jobs."""
    jobs = run.table("jobs")
    return [
        _figure(run, str(scenario), found)
        for scenario, group in groups(jobs, "scenario")
        if (found := curves(group))
    ]


def curves(jobs: pd.DataFrame) -> list[Curve]:
    """The curve of each side in which at least one job finished, in the order of the schema."""
    found = []
    for side in SIDES:
        response = jobs[jobs["side"] == side]["response_ms"].to_numpy(dtype=float)
        finished = np.sort(response[(response > canvas.SMALLEST) & (response < canvas.LARGEST)])
        if len(finished):
            found.append(Curve(side, finished, len(response)))
    return found


def steps(curve: Curve) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The curve's corners: times, and the share of all jobs done by then; ends below 1 if some never were."""
    ranks = np.unique(np.linspace(0, len(curve.finished_ms) - 1, MOST_POINTS).astype(int))
    return curve.finished_ms[ranks], (ranks + 1) / curve.total


def _figure(run: Run, scenario: str, found: list[Curve]) -> canvas.Figure:
    slug, hiccup = canvas.slug("ecdf", scenario), hiccup_ms(run)
    title = f"Response of {words.scenario(scenario)}"
    description = canvas.sentences([_told(curve) for curve in found])
    return canvas.Figure(
        slug=slug,
        title=title,
        description=description,
        caption="How long after it was due a job had its effect; further left is sooner, and a curve that "
        f"stops below 100 % has jobs that were not finished by the drain limit. {description}",
        command=commands.measure(run, "latency", scenario),
        svg=canvas.svg(_sheet(found, hiccup), slug=slug, title=title, description=description),
    )


def _told(curve: Curve) -> str:
    unfinished = f", {curve.unfinished} unfinished" if curve.unfinished else ""
    return f"{words.side(curve.side)}: {curve.total} jobs{unfinished}"


def _sheet(found: list[Curve], hiccup: float) -> Sheet:
    figure, (axes,) = canvas.sheet(3.9, left=0.6, top=0.3, bottom=AXIS_HEIGHT + LEGEND_HEIGHT)
    low = min(float(curve.finished_ms[0]) for curve in found)
    high = max(float(curve.finished_ms[-1]) for curve in found)
    axes.set_xscale("log")
    axes.set_xlim(min(low, hiccup or low) / 1.3, high * 1.3)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("response, ms (log)")
    axes.set_title("share of jobs whose effect was there")
    rows.log_ticks(axes)
    if hiccup:
        axes.axvspan(axes.get_xlim()[0], hiccup, color=canvas.BAND, linewidth=0, label="machine's hiccup p99")
    for curve in found:
        _line(axes, curve)
    figure.legend(loc="lower left", bbox_to_anchor=(0, 0), ncols=2, fontsize=10, handlelength=2.6)
    return figure


def _line(axes: Axes, curve: Curve) -> None:
    times, shares = steps(curve)
    axes.step(
        [times[0], *times, *([axes.get_xlim()[1]] if curve.unfinished else [])],
        [0.0, *shares, *([shares[-1]] if curve.unfinished else [])],
        where="post",
        color=canvas.colour(curve.side),
        linestyle=canvas.dashes(curve.side),
        linewidth=1.9,
        label=words.side(curve.side),
    )


def hiccup_ms(run: Run) -> float:
    """The worst hiccup p99 of the latency blocks that count, 0 where none was measured."""
    blocks = run.valid_blocks()
    worst = float(blocks[blocks["measure"] == "latency"]["hiccup_p99_ms"].max())
    return worst if canvas.on_log_axis(worst) else 0.0
