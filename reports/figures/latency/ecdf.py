"""Response as an ECDF for each scenario: the share of jobs whose effect was there by a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import PercentFormatter

from bench.schema import MINIMUM_SAMPLES, SIDES
from reports.data import formatting, quantiles, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.data.tables import Table, table
from reports.figures import canvas, rows

#: Points of a drawn curve; more look the same and only make the file larger.
MOST_POINTS = 130
#: The same of the thin curve beside it.
FEW_POINTS = 50
#: Inches under the plot for the axis, and for the legend under it.
AXIS_HEIGHT, LEGEND_HEIGHT = 0.55, 0.75

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """The finished jobs' responses in order, out of `total` jobs that were due."""

    side: str
    finished_ms: _Array
    total: int
    blocks: int
    uncorrected_ms: _Array  # the same from submit instead of from due, in order

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
        own = jobs[jobs["side"] == side]
        finished = _finished(own["response_ms"])
        if len(finished):
            uncorrected = _finished(own["uncorrected_ms"])
            found.append(Curve(side, finished, len(own), own["block"].nunique(), uncorrected))
    return found


def steps(curve: Curve) -> tuple[_Array, _Array]:
    """The curve's corners: times, and the share of all jobs done by then; ends below 1 if some never were."""
    return _corners(curve.finished_ms, curve.total, MOST_POINTS)


def _corners(finished: _Array, total: int, most: int) -> tuple[_Array, _Array]:
    ranks = np.unique(np.linspace(0, len(finished) - 1, most).astype(int))
    return finished[ranks], (ranks + 1) / total


def _finished(values: pd.Series[float]) -> _Array:
    given = values.to_numpy(dtype=float)
    return np.sort(given[(given > canvas.SMALLEST) & (given < canvas.LARGEST)])


def _figure(run: Run, scenario: str, found: list[Curve]) -> canvas.Figure:
    described = [_describe(curve) for curve in found]
    return canvas.figure(
        _sheet(found, hiccup_ms(run)),
        slug=canvas.slug("ecdf", scenario),
        title=f"Response of {formatting.scenario(scenario)}",
        description=described,
        caption="How long after it was due a job had its effect: further left is sooner, and a curve that "
        "stops below 100 % has jobs that were not finished by the drain limit. The thin curve counts from "
        "submit instead, which forgives a side what its caller had to wait before. "
        f"n: {canvas.sentences(described)}",
        command=rerun_commands.measure(run, "latency", scenario),
        numbers=numbers(found),
        raw=("jobs", "blocks"),
    )


def numbers(found: list[Curve]) -> Table | None:
    """The time by which a share of all jobs had their effect; only shares that n samples may speak of."""
    rows = []
    for share in MINIMUM_SAMPLES:
        row = {"share of jobs": f"{share * 100:g} %"}
        for curve in found:
            for kind, times in (("", curve.finished_ms), (", from submit", curve.uncorrected_ms)):
                row[f"{formatting.side(curve.side)}{kind}"] = _by(times, curve.total, share)
        rows.append(row)
    return table("the time by which so many had their effect", rows, folded=True)


def _by(finished: _Array, total: int, share: float) -> str:
    if share not in quantiles.printable(total):
        return formatting.NOTHING
    unfinished = np.full(total - len(finished), np.inf)
    return formatting.ms(quantiles.quantile(np.concatenate([finished, unfinished]), share))


def _describe(curve: Curve) -> str:
    unfinished = f", {curve.unfinished} unfinished" if curve.unfinished else ""
    blocks = formatting.plural(curve.blocks, "block")
    return f"{formatting.side(curve.side)}: {formatting.count(curve.total)} jobs in {blocks}{unfinished}"


def _sheet(found: list[Curve], hiccup: float) -> Sheet:
    figure, (axes,) = canvas.sheet(3.9, left=0.6, top=0.3, bottom=AXIS_HEIGHT + LEGEND_HEIGHT)
    low = min(
        float(times[0])
        for curve in found
        for times in (curve.finished_ms, curve.uncorrected_ms[:1])
        if len(times)
    )
    high = max(float(curve.finished_ms[-1]) for curve in found)
    axes.set_xscale("log")
    axes.set_xlim(min(low, hiccup or low) / 1.3, high * 1.3)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("response, ms (log); thin: from submit")
    axes.set_title("share of jobs whose effect was there", fontsize=10, fontweight="bold")
    rows.log_ticks(axes)
    if hiccup:
        axes.axvspan(axes.get_xlim()[0], hiccup, color=canvas.BAND, linewidth=0, label="machine's hiccup p99")
    for curve in found:
        _line(axes, curve)
    figure.legend(loc="lower left", bbox_to_anchor=(0, 0), ncols=2, fontsize=10, handlelength=2.6)
    return figure


def _line(axes: Axes, curve: Curve) -> None:
    if len(curve.uncorrected_ms):
        thin = _corners(curve.uncorrected_ms, curve.total, FEW_POINTS)
        axes.step(*thin, where="post", color=canvas.colour(curve.side), linewidth=0.7, alpha=0.7)
    times, shares = steps(curve)
    axes.step(
        [times[0], *times, *([axes.get_xlim()[1]] if curve.unfinished else [])],
        [0.0, *shares, *([shares[-1]] if curve.unfinished else [])],
        where="post",
        color=canvas.colour(curve.side),
        linestyle=canvas.dashes(curve.side),
        linewidth=1.9,
        label=formatting.side(curve.side),
    )


def hiccup_ms(run: Run) -> float:
    """The worst hiccup p99 of the latency blocks that count, 0 where none was measured."""
    blocks = run.valid_blocks()
    worst = float(blocks[blocks["measure"] == "latency"]["hiccup_p99_ms"].max())
    return worst if canvas.on_log_axis(worst) else 0.0
