"""Labelled rows of dots with a mark and an interval on one axis: the shape of two figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from reports.data import formatting
from reports.figures import canvas

#: Inches that a row and the axis under it take.
ROW_HEIGHT = 0.46
AXIS_HEIGHT = 0.55
#: Digits at which a log axis may have its ticks, the densest first.
TICKS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
#: Inches of an axis for each number under it, and the most numbers that an axis has.
NUMBER_WIDTH, MOST_NUMBERS = 0.55, 6
#: Milliseconds of a second.
SECOND_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: the label on its left, `text` on its right, and what is drawn under both."""

    label: str
    text: str
    side: str
    middle: float
    low: float
    high: float
    dots: tuple[float, ...] = ()


def draw(rows: Sequence[Row], *, label: str, log: bool, times: bool = False) -> Sheet:
    """Draw rows top down, on a log axis (of numbers, or `times` in ms) or a plain one with a line at zero."""
    shows = canvas.on_log_axis if log else canvas.on_plain_axis
    figure, (axes,) = canvas.sheet(AXIS_HEIGHT + ROW_HEIGHT * len(rows), top=0.0, bottom=AXIS_HEIGHT)
    values = [value for row in rows for value in (row.middle, row.low, row.high, *row.dots) if shows(value)]
    if log:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 1.3, max(values) * 1.3)
        log_ticks(axes, times=times)
    else:
        room = 0.04 * (max(0.0, *values) - min(0.0, *values)) or 1.0
        axes.set_xlim(min(0.0, *values) - room, max(0.0, *values) + room)
        axes.axvline(0, color=canvas.MUTED, linewidth=1)
    _axis(axes, len(rows), label)
    for place, row in enumerate(rows):
        _row(axes, row, len(rows) - 1 - place, shows)
    return figure


def log_ticks(axes: Axes, *, times: bool = False) -> None:
    """Ticks at 1, 2 and 5 where there is room, else at powers of ten; with units where these are `times`."""
    low, high = axes.get_xlim()
    room = axes.get_position().width * canvas.WIDTH / NUMBER_WIDTH
    plain_log(axes.xaxis, low, high, times=times, most=min(MOST_NUMBERS, int(room)))


def plain_log(axis: Axis, low: float, high: float, *, times: bool = False, most: int = MOST_NUMBERS) -> None:
    """The ticks of `log_ticks` for either axis, which reaches from `low` to `high`; at most so many."""
    subs = next((subs for subs in TICKS if _count(subs, low, high) <= most), TICKS[-1])
    few = _count(subs, low, high) < 2  # noqa: PLR2004 - one number makes no scale
    axis.set_major_locator(
        MaxNLocator(most - 1, steps=[1, 2, 5, 10]) if few else LogLocator(subs=subs, numticks=9)
    )
    axis.set_major_formatter(FuncFormatter(_time if times else _number))
    axis.set_minor_locator(NullLocator())


def _count(subs: Sequence[float], low: float, high: float) -> int:
    """Ticks at these digits of every decade between `low` and `high`."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return sum(low <= sub * 10.0**decade <= high for decade in decades for sub in subs)


def _number(value: float, _: object) -> str:
    return f"{value:,g}"


def _time(value: float, _: object) -> str:
    """A time in ms at a tick: below a millisecond in µs, from a second on in s."""
    if value >= SECOND_MS:
        return f"{value / SECOND_MS:,g} s"
    return f"{value:g} ms" if value >= 1 else f"{value * 1000:g} \N{MICRO SIGN}s"


def _axis(axes: Axes, rows: int, label: str) -> None:
    axes.set_ylim(-0.45, rows - 0.2)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(label)


def _row(axes: Axes, row: Row, height: int, shows: Callable[[float], bool]) -> None:
    colour = canvas.colour(row.side)
    dots = [dot for dot in row.dots if shows(dot)]
    pale: dict[str, Any] = {"alpha": 0.45, "markersize": 4, "markeredgewidth": 0}
    canvas.marks(axes, dots, [height] * len(dots), "o", color=colour, **pale)
    if shows(row.low) and shows(row.high):
        butt: dict[str, Any] = {"linewidth": 2, "solid_capstyle": "butt"}
        canvas.stroke(axes, [row.low, row.high], [height, height], color=colour, **butt)
    canvas.marks(axes, [row.middle], [height], canvas.marker(row.side), color=colour, markersize=7)
    across = axes.get_yaxis_transform()
    above: dict[str, Any] = {"transform": across, "va": "baseline", "bbox": canvas.ON_PAPER}
    axes.text(0, height + 0.28, canvas.plain(row.label), ha="left", **above)
    axes.text(1, height + 0.28, canvas.plain(row.text), ha="right", color=canvas.MUTED, **above)


def describe(row: Row) -> str:
    """The row in words, for the description."""
    return f"{row.label}: {row.text}"


def span(values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest finite value; NaN where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (math.nan, math.nan)


def in_blocks(count: int) -> str:
    """As in "4 blocks"."""
    return f"{formatting.count(count)} block{'' if count == 1 else 's'}"
