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
from reports.figures import canvas, labels, rows

#: Points of a drawn curve; more look the same and only make the file larger.
MOST_POINTS = 130
#: The same of the thin curve beside it.
FEW_POINTS = 50
#: Inches under the plot for the axis.
AXIS_HEIGHT = 0.55
#: Share of a curve's jobs at each end that the axis need not reach.
EDGE = 0.005

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
        caption="How long after it was due a job had its effect. Further left is sooner.",
        notes=f"A curve that stops below 100 % has jobs that were not finished by the drain limit"
        f"{_unfinished(found)}. The thin curve counts from submit instead, which leaves out what the caller "
        f"had to wait before. {_beyond(found)}Shaded: the machine's own hiccup p99.",
        n=", ".join(f"{formatting.side(curve.side)} {_count(curve)}" for curve in found),
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
    return f"{formatting.side(curve.side)}: {_count(curve)}{unfinished}"


def _count(curve: Curve) -> str:
    return f"{formatting.count(curve.total)} jobs in {formatting.plural(curve.blocks, 'block')}"


def _unfinished(found: list[Curve]) -> str:
    """As in ": stock Celery 6"; empty where all were finished."""
    parts = [f"{formatting.side(curve.side)} {curve.unfinished}" for curve in found if curve.unfinished]
    return f": {', '.join(parts)}" if parts else ""


def window(found: list[Curve]) -> tuple[float, float]:
    """The times between which every curve has all but its outermost jobs: where the curves are."""
    low = min(float(np.quantile(curve.finished_ms, EDGE, method="higher")) for curve in found)
    high = max(float(np.quantile(curve.finished_ms, 1 - EDGE, method="lower")) for curve in found)
    return low / 1.15, high * 1.15


def _beyond(found: list[Curve]) -> str:
    """How far the jobs right of the drawing go; empty where there is none."""
    slowest, (_, high) = max(float(curve.finished_ms[-1]) for curve in found), window(found)
    return (
        f"The slowest, up to {formatting.ms(slowest)}, lie right of the drawing. " if slowest > high else ""
    )


def _sheet(found: list[Curve], hiccup: float) -> Sheet:
    figure, (axes,) = canvas.sheet(3.1, left=0.6, right=labels.COLUMN, top=0.3, bottom=AXIS_HEIGHT)
    axes.set_xscale("log")
    axes.set_xlim(*window(found))
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("response (log); thin: from submit")
    axes.set_title("share of jobs whose effect was there", fontsize=10, fontweight="bold")
    rows.log_ticks(axes, times=True)
    if hiccup > (left := axes.get_xlim()[0]):
        axes.axvspan(left, min(hiccup, axes.get_xlim()[1]), color=canvas.BAND, linewidth=0)
    for curve in found:
        _line(axes, curve)
    labels.beside(axes, _names(found), inches=3.1 - 0.3 - AXIS_HEIGHT)
    return figure


def _names(found: list[Curve]) -> list[labels.Label]:
    """A label for each curve, each at another share, the slowest lowest, so that leader lines stay level."""
    slowest_first = sorted(found, key=lambda curve: -float(np.median(curve.finished_ms)))
    names = []
    for place, curve in enumerate(slowest_first, 1):
        share = place / (len(found) + 1) * len(curve.finished_ms) / curve.total
        at = min(len(curve.finished_ms) - 1, round(share * curve.total))
        names.append(
            labels.Label(
                across=float(curve.finished_ms[at]),
                height=share,
                name=formatting.narrow_side(curve.side),
                side=curve.side,
            )
        )
    return names


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
    )


def hiccup_ms(run: Run) -> float:
    """The worst hiccup p99 of the latency blocks that count, 0 where none was measured."""
    blocks = run.valid_blocks()
    worst = float(blocks[blocks["measure"] == "latency"]["hiccup_p99_ms"].max())
    return worst if canvas.on_log_axis(worst) else 0.0
