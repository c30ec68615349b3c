"""The drawing of a forest: headings, and under each a line a side: name, interval, ratio and words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.transforms import Transform, blended_transform_factory

from reports.data import formatting as words
from reports.figures import canvas
from reports.figures.rows import log_ticks

#: Inches: a heading, a line, the axis below; the column of names, and that of ratios with words.
HEADING, LINE, AXIS = 0.3, 0.25, 0.55
NAMES, RATIOS, WORDS = 1.3, 0.7, 1.12
#: A ratio beyond this is drawn at the edge.
FARTHEST = 1000.0
#: How much farther than marks and dots the axis follows an interval.
REACH = 3.0
#: Room beyond the outermost mark, as a factor.
ROOM = 1.3
#: The harness's words where a column is narrow; the description has them in full.
SHORT = {"too noisy to say": "too noisy", "no clear difference": "no clear diff."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One comparison: a ratio that a log axis can show, its interval, and a dot for each pair."""

    heading: str
    side: str
    words: str
    middle: float
    low: float
    high: float
    dots: tuple[float, ...] = ()

    @property
    def bounded(self) -> bool:
        """Whether there is an interval at all: one pair gives none."""
        return 0 < self.low <= self.high < math.inf


def draw(lines: Sequence[Line], *, floor: float = 1.0) -> Sheet:
    """Draw the lines under their headings, top down, on a band from 1 / floor to floor (a factor)."""
    headings = [(heading, list(group)) for heading, group in groupby(lines, key=lambda line: line.heading)]
    height = HEADING * len(headings) + LINE * len(lines)
    figure, (axes,) = canvas.sheet(height + AXIS, left=NAMES, right=RATIOS + WORDS, top=0.0, bottom=AXIS)
    _axis(axes, lines, height)
    if floor > 1:
        axes.axvspan(1 / floor, floor, color=canvas.BAND, linewidth=0)
    across = blended_transform_factory(figure.transFigure, axes.transData)
    place = 0.0
    for heading, group in headings:
        place += HEADING
        bold: dict[str, Any] = {"fontweight": "bold", "fontsize": 10, "bbox": canvas.ON_PAPER}
        axes.text(0, place - 0.06, heading, transform=across, va="bottom", **bold)
        for line in group:
            _line(axes, line, place + LINE / 2, across)
            place += LINE
    return figure


def limits(lines: Sequence[Line]) -> tuple[float, float]:
    """All marks and dots, and of the intervals as much as does not dwarf them."""
    marks = [1.0, *(mark for line in lines for mark in (line.middle, *line.dots))]
    inner = [min(max(mark, 1 / FARTHEST), FARTHEST) for mark in marks if canvas.on_log_axis(mark)]
    low, high = min(inner) / ROOM, max(inner) * ROOM
    bounded = [line for line in lines if line.bounded]
    lowest = min((line.low for line in bounded), default=low)
    highest = max((line.high for line in bounded), default=high)
    return max(min(low, lowest / ROOM), low / REACH), min(max(high, highest * ROOM), high * REACH)


def _axis(axes: Axes, lines: Sequence[Line], height: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(*limits(lines))
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("ratio to in-process (log)")
    log_ticks(axes)
    axes.axvline(1.0, color=canvas.MUTED, linewidth=1)


def _line(axes: Axes, line: Line, place: float, across: Transform) -> None:
    colour, (left, right) = canvas.colour(line.side), axes.get_xlim()
    dots = [min(max(dot, left), right) for dot in line.dots if canvas.on_log_axis(dot)]
    pale: dict[str, Any] = {"alpha": 0.45, "markersize": 5, "markeredgewidth": 0}
    canvas.marks(axes, dots, [place] * len(dots), "o", color=colour, **pale)
    if line.bounded:
        reached = [max(line.low, left), min(line.high, right)]
        canvas.stroke(axes, reached, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        arrows = [(left, "<")] if line.low < left else []
        arrows += [(right, ">")] if line.high > right else []
        for edge, arrow in arrows:
            canvas.marks(axes, [edge], [place], arrow, color=colour, markersize=6, clip_on=False)
    middle = min(max(line.middle, left), right)
    mark = canvas.marker(line.side)
    canvas.marks(axes, [middle], [place], mark, color=colour, markersize=7, clip_on=False)
    ratio_end = 1 - (WORDS + 0.04) / canvas.WIDTH
    beside: dict[str, Any] = {"transform": across, "va": "center", "fontsize": 9.5}
    axes.text(0, place, canvas.plain(words.narrow_side(line.side), 17), ha="left", **beside)
    axes.text(ratio_end, place, words.fold(line.middle), ha="right", **beside)
    is_few = line.words.startswith(words.TOO_FEW)
    short_words = words.TOO_FEW if is_few else SHORT.get(line.words, line.words)
    text = canvas.plain(short_words, 16)
    axes.text(ratio_end + 0.02, place, text, ha="left", color=canvas.MUTED, **beside)
