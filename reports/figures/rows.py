"""Labelled rows of dots with a mark and an interval on one log axis: the shape of three figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports import words
from reports.figures import canvas

_ON_PAPER = {"facecolor": canvas.PAPER, "linewidth": 0, "pad": 1}

#: Inches that a row and the axis under it take.
ROW_HEIGHT = 0.46
AXIS_HEIGHT = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: the label on its left, `told` on its right, and what is drawn under both."""

    label: str
    told: str
    side: str
    middle: float
    low: float
    high: float
    dots: tuple[float, ...] = ()


def drawable(row: Row) -> bool:
    """Whether the row has a mark that a log axis can show."""
    return canvas.on_log_axis(row.middle)


def draw(rows: Sequence[Row], *, label: str, reference: float | None = None, band: float = 0.0) -> Sheet:
    """Draw rows top down; a line at `reference`, a shade from the left to `band`."""
    figure, (axes,) = canvas.sheet(AXIS_HEIGHT + ROW_HEIGHT * len(rows))
    _axis(axes, rows, label, reference, band)
    for place, row in enumerate(rows):
        _row(axes, row, len(rows) - 1 - place)
    return figure


def log_ticks(axes: Axes) -> None:
    """Ticks at 1, 2 and 5 where the axis is short, at powers of ten where it is long; plain numbers."""
    low, high = axes.get_xlim()
    decades = math.log10(high / low)
    few = 1.6
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < few else (1.0,), numticks=9))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _axis(axes: Axes, rows: Sequence[Row], label: str, reference: float | None, band: float) -> None:
    low, high = _limits(rows, reference, band)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(-0.45, len(rows) - 0.2)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(label)
    log_ticks(axes)
    if reference is not None:
        axes.axvline(reference, color=canvas.MUTED, linewidth=1)
    if band > low:
        axes.axvspan(low, band, color=canvas.BAND, linewidth=0)


def _limits(rows: Sequence[Row], reference: float | None, band: float) -> tuple[float, float]:
    values = [value for row in rows for value in (row.middle, row.low, row.high, *row.dots)]
    values += [band, reference or 0.0]
    drawn = [value for value in values if canvas.on_log_axis(value)]
    return min(drawn) / 1.3, max(drawn) * 1.3


def _row(axes: Axes, row: Row, height: int) -> None:
    colour = canvas.colour(row.side)
    dots = [dot for dot in row.dots if canvas.on_log_axis(dot)]
    axes.plot(dots, [height] * len(dots), "o", color=colour, alpha=0.45, markersize=4, markeredgewidth=0)
    if canvas.on_log_axis(row.low) and canvas.on_log_axis(row.high):
        axes.plot([row.low, row.high], [height, height], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([row.middle], [height], canvas.marker(row.side), color=colour, markersize=7)
    across = axes.get_yaxis_transform()
    above: dict[str, Any] = {"transform": across, "va": "baseline", "bbox": _ON_PAPER}
    axes.text(0, height + 0.28, canvas.plain(row.label), ha="left", **above)
    axes.text(1, height + 0.28, canvas.plain(row.told), ha="right", color=canvas.MUTED, **above)


def told(row: Row) -> str:
    """The row in words, for the description."""
    return f"{row.label}: {row.told}"


def span(values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest finite value; NaN where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (math.nan, math.nan)


def in_blocks(count: int) -> str:
    """As in "4 blocks"."""
    return f"{words.count(count)} block{'' if count == 1 else 's'}"
