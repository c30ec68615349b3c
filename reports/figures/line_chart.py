"""Plots one above the other over one common scale below: a line a side, named beside its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from reports.figures import canvas, labels
from reports.figures.rows import log_ticks, plain_log

#: Inches: a plot, the heading above it, the scale and its name below the last, the scale on the left.
PLOT, HEADING, SCALE, LEFT = 1.55, 0.34, 0.55, 0.72
#: Points of a scale, at most.
MOST_TICKS = 5

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A side's line through `points`, pale `dots` (one a block), and crosses where it did not keep up."""

    name: str
    side: str
    points: tuple[Point, ...]
    dots: tuple[Point, ...] = ()
    crosses: tuple[Point, ...] = ()
    hollow: bool = False
    marked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot: what it shows, its lines, whether they are times in ms, and a shaded floor."""

    heading: str
    trends: tuple[Trend, ...]
    log: bool = True
    times: bool = False
    floor: float = 0.0

    @property
    def shows(self) -> Callable[[float], bool]:
        """Whether the plot's scale can show a value."""
        return canvas.on_log_axis if self.log else canvas.on_plain_axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The common scale: its name and either its marked places or a log scale."""

    name: str
    places: Mapping[float, str] | None = None
    log: bool = False


def plot(
    heading: str, trends: Sequence[Trend], *, log: bool = True, times: bool = False, floor: float = 0.0
) -> Plot | None:
    """A plot of what its scale can show of the lines; None where that is nothing."""
    shows = canvas.on_log_axis if log else canvas.on_plain_axis
    kept = [
        Trend(
            name=trend.name,
            side=trend.side,
            points=tuple(point for point in trend.points if shows(point[1])),
            dots=tuple(point for point in trend.dots if shows(point[1])),
            crosses=trend.crosses,
            hollow=trend.hollow,
            marked=trend.marked,
        )
        for trend in trends
    ]
    drawn = tuple(trend for trend in kept if trend.points)
    return Plot(heading=heading, trends=drawn, log=log, times=times, floor=floor) if drawn else None


def draw(plots: Sequence[Plot], scale: Scale, *, height: float = PLOT) -> Sheet:
    """Draw the plots top down, each `height` inches."""
    figure, found = canvas.sheet(
        SCALE + (height + HEADING) * len(plots),
        len(plots),
        left=LEFT,
        right=labels.COLUMN,
        top=HEADING,
        bottom=SCALE,
        gap=HEADING,
    )
    xs = [point[0] for item in plots for trend in item.trends for point in (*trend.points, *trend.crosses)]
    for axes, item in zip(found, plots, strict=True):
        _across(axes, scale, min(xs), max(xs))
        _plot(axes, item, height)
    for axes in found[:-1]:
        axes.tick_params(labelbottom=False)
    found[-1].set_xlabel(scale.name)
    return figure


def _across(axes: Axes, scale: Scale, low: float, high: float) -> None:
    if scale.log:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.3, high * 1.3)
        log_ticks(axes)
    else:
        room = 0.04 * (high - low) or 0.5
        axes.set_xlim(low - room, high + room)
    if scale.places is not None:
        axes.set_xticks(list(scale.places), list(scale.places.values()))
        axes.xaxis.set_minor_locator(NullLocator())


def _plot(axes: Axes, item: Plot, height: float) -> None:
    _upwards(axes, item)
    axes.set_title(canvas.plain(item.heading, 62), fontsize=10, fontweight="bold", x=-LEFT / _width())
    if item.floor > max(0.0, axes.get_ylim()[0]):
        axes.axhspan(axes.get_ylim()[0], item.floor, color=canvas.BAND, linewidth=0)
    for trend in item.trends:
        _trend(axes, trend)
    ends = [
        labels.Label(
            across=trend.points[-1][0],
            height=trend.points[-1][1],
            name=trend.name,
            side=trend.side,
            hollow=trend.hollow,
        )
        for trend in item.trends
    ]
    labels.beside(axes, ends, inches=height)


def _upwards(axes: Axes, item: Plot) -> None:
    ys = [y for trend in item.trends for _, y in (*trend.points, *trend.dots)]
    if item.log:
        axes.set_yscale("log")
        low = min(ys)
        axes.set_ylim(low / 1.4, max(ys) * 1.6)
        plain_log(axes.yaxis, low / 1.4, max(ys) * 1.6, times=item.times)
    else:
        high, low = max(0.0, *ys), min(0.0, *ys)
        room = 0.08 * (high - low) or 1.0
        axes.set_ylim(low - (room if low < 0 else 0.03 * room), high + room)
        axes.yaxis.set_major_locator(MaxNLocator(MOST_TICKS, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _trend(axes: Axes, trend: Trend) -> None:
    colour = canvas.colour(trend.side)
    inside: dict[str, Any] = {"color": colour, "clip_on": False}
    if trend.dots:
        xs, ys = zip(*trend.dots, strict=True)
        canvas.marks(axes, xs, ys, "o", alpha=0.4, markersize=3.5, markeredgewidth=0, **inside)
    if trend.crosses:
        xs, _ = zip(*trend.crosses, strict=True)
        high: dict[str, Any] = {
            "transform": axes.get_xaxis_transform(),
            "markersize": 7,
            "markeredgewidth": 1.8,
        }
        canvas.marks(axes, xs, [0.94] * len(xs), "x", **high, **inside)
    marks: dict[str, Any] = {
        "marker": canvas.marker(trend.side) if trend.marked else "",
        "markersize": 5.5,
        "markerfacecolor": canvas.PAPER if trend.hollow else colour,
    }
    xs, ys = zip(*trend.points, strict=True)
    canvas.stroke(axes, xs, ys, linestyle=canvas.dashes(trend.side), linewidth=1.8, **marks, **inside)


def _width() -> float:
    """Inches of a plot from its left to its right end."""
    return canvas.WIDTH - LEFT - labels.COLUMN
