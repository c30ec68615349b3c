"""Plots one above the other, each with a line a side: name, a dot a block, median and range, number.

Every plot has an axis of its own, so that what is counted in different units stands together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.data import evidence, formatting
from reports.data.tables import ordered
from reports.figures import canvas
from reports.figures.rows import log_ticks, span

#: Inches: a heading, a line, the scale under a plot; the columns of names and numbers.
HEADING, LINE, SCALE = 0.3, 0.26, 0.34
NAMES, NUMBERS = 1.3, 0.85
#: Inches of a letter of a name, and between names and plot; the most letters of a name.
LETTER, GAP, LETTERS = 0.069, 0.1, 42
#: Points of a plain scale, at most; and inches that one needs.
MOST_TICKS, TICK = 5, 0.42
#: Dots that an axis has room for, side by side; those that would lie on each other are drawn once.
DOTS_ACROSS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A side's values in one plot; `before` is a hollow mark, what it was without the load."""

    name: str
    side: str
    text: str
    middle: float
    low: float
    high: float
    dots: tuple[float, ...] = ()
    before: float = float("nan")

    @property
    def drawn(self) -> tuple[float, ...]:
        """Everything that the line draws."""
        return (self.middle, self.low, self.high, self.before, *self.dots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One plot: what it counts and in which unit, and its lines."""

    heading: str
    lines: tuple[Line, ...]
    log: bool = False  # then of times in ms

    @property
    def shows(self) -> Callable[[float], bool]:
        """Whether the plot's axis can show a value."""
        return canvas.on_log_axis if self.log else canvas.on_plain_axis


def line(
    values: pd.Series[float],
    *,
    name: str,
    side: str,
    unit: Callable[[float], str],
    before: float = float("nan"),
) -> Line:
    """A line of one value a block: the median, the range, and the median told in its unit."""
    known = values.dropna()
    middle, (low, high) = evidence.middle(known), span(list(known))
    return Line(
        name=name,
        side=side,
        text=unit(middle),
        middle=middle,
        low=low,
        high=high,
        dots=tuple(known),
        before=before,
    )


def panel(heading: str, lines: Sequence[Line], *, log: bool = False) -> Panel | None:
    """A plot of the lines that its axis can show, or None; a `log` axis is of times in ms."""
    shows = canvas.on_log_axis if log else canvas.on_plain_axis
    drawn = tuple(item for item in lines if shows(item.middle))
    return Panel(heading=heading, lines=drawn, log=log) if drawn else None


def panel_by_side(
    heading: str, rows: pd.DataFrame, column: str, *, unit: Callable[[float], str]
) -> Panel | None:
    """A plot of one column of a table, a line for each side; None where there is nothing to show."""
    lines = [
        line(rows[rows["side"] == side][column], name=formatting.side(side), side=side, unit=unit)
        for side in ordered(rows["side"])
    ]
    return panel(heading, lines)


def draw(panels: Sequence[Panel], *, numbers: float = NUMBERS) -> Sheet:
    """Draw the plots top down, with as much room as the names need, and so many inches for the numbers."""
    longest = max((min(LETTERS, len(line.name)) for item in panels for line in item.lines), default=0)
    names = max(NAMES, LETTER * longest + GAP)
    width = canvas.WIDTH - names - numbers
    height = sum(HEADING + LINE * len(item.lines) + SCALE for item in panels)
    figure, top = Sheet(figsize=(canvas.WIDTH, height)), height
    for item in panels:
        tall = LINE * len(item.lines)
        foot = top - HEADING - tall
        axes = figure.add_axes(
            (
                names / canvas.WIDTH,
                foot / height,
                width / canvas.WIDTH,
                tall / height,
            )
        )
        figure.text(
            0, (top - HEADING + 0.07) / height, canvas.plain(item.heading, 62), fontweight="bold", fontsize=10
        )
        _plot(axes, item, width)
        top = foot - SCALE
    return figure


def describe(panels: Sequence[Panel]) -> list[str]:
    """The plots in words, for the description."""
    return [f"{item.heading}, {line.name}: {line.text}" for item in panels for line in item.lines]


def _plot(axes: Axes, item: Panel, width: float) -> None:
    values = [value for line in item.lines for value in line.drawn if item.shows(value)]
    if item.log:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 1.4, max(values) * 1.4)
        log_ticks(axes, times=True)
    else:
        low, high = min(0.0, *values), max(0.0, *values)
        room = 0.05 * (high - low) or 1.0
        axes.set_xlim(low - (room if low < 0 else 0), high + room)
        axes.xaxis.set_major_locator(MaxNLocator(min(MOST_TICKS, int(width / TICK)), steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_ylim(len(item.lines) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.tick_params(labelsize=9.5)
    for place, line in enumerate(item.lines):
        _line(axes, line, place, item.shows)
        beside: dict[str, Any] = {"va": "center", "fontsize": 9.5, "clip_on": False}
        across = axes.get_yaxis_transform()
        axes.text(
            -0.05 / width, place, canvas.plain(line.name, LETTERS), ha="right", transform=across, **beside
        )
        axes.text(1 + 0.08 / width, place, canvas.plain(line.text, 20), ha="left", transform=across, **beside)


def apart(dots: Sequence[float], low: float, high: float, *, log: bool) -> list[float]:
    """The dots that do not overlap on an axis from `low` to `high`, in order: a full run has hundreds."""
    of = math.log if log else float
    cell = (of(high) - of(low)) / DOTS_ACROSS
    return list({round(of(dot) / cell): dot for dot in sorted(dots)}.values())


def _line(axes: Axes, line: Line, place: int, shows: Callable[[float], bool]) -> None:
    colour = canvas.colour(line.side)
    dots = apart([dot for dot in line.dots if shows(dot)], *axes.get_xlim(), log=axes.get_xscale() == "log")
    pale: dict[str, Any] = {"alpha": 0.4, "markersize": 4.5, "markeredgewidth": 0, "clip_on": False}
    canvas.marks(axes, dots, [place] * len(dots), "o", color=colour, **pale)
    if shows(line.low) and shows(line.high):
        butt: dict[str, Any] = {"linewidth": 1.5, "solid_capstyle": "butt"}
        canvas.stroke(axes, [line.low, line.high], [place, place], color=colour, **butt)
    mark = canvas.marker(line.side)
    if shows(line.before):
        dotted: dict[str, Any] = {"linewidth": 1, "linestyle": ":"}
        canvas.stroke(axes, [line.before, line.middle], [place, place], color=colour, **dotted)
        hollow: dict[str, Any] = {"markerfacecolor": canvas.PAPER, "markersize": 6.5, "clip_on": False}
        canvas.marks(axes, [line.before], [place], mark, color=colour, **hollow)
    canvas.marks(axes, [line.middle], [place], mark, color=colour, markersize=6.5, clip_on=False)
