"""The card as a PNG: the question, the answer, the verdict of each job, and every fault at every side.

Coordinates are pixels from the top left. Long texts are cut, since a card has a fixed size.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.data import formatting
from reports.data.run import Run
from reports.failure.heat_map import HeatMap, Mark, heat_map
from reports.failure.matrix import matrix
from reports.figures.canvas import plain
from reports.pages.report import answer, origin, stamps
from reports.verdicts import Verdict, verdicts

#: Pixels, as the services that show a linked page's picture ask for.
WIDTH, HEIGHT = 1200, 630
_DPI = 100
#: Pixels of the margin, and the verdicts that have room beside each other.
MARGIN = 48
MOST_VERDICTS = 3
#: The page's light colours (`templates/styles/base.css`).
PAPER, INK, MUTED, LINE = "#fdfcfa", "#1c2126", "#59626b", "#d9dcdf"
STATES = {"held": "#14643c", "broken": "#a3260f", "unknown": "#735400"}
KINDS = {
    "lost": "#a3260f",
    "doubled": "#7a3a9c",
    "unknown": "#735400",
    "disturbed": "#735400",
    "kept": "#14643c",
    "absent": "#59626b",
}
#: Pixels of a mark of the strip of faults, and of its names of sides.
_CELL, _NAMES = 26, 110


def png(run: Run) -> bytes:
    """The card of a run; the same run gives the same bytes."""
    with rc_context({"font.family": "DejaVu Sans", "text.parse_math": False}):
        figure = Figure(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI, facecolor=PAPER)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(HEIGHT, 0)
        axes.set_axis_off()
        judged = verdicts(run)
        _head(axes, run, judged)
        _verdicts(axes, judged)
        found = matrix(run)
        if found:
            _faults(axes, heat_map(found))
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
            figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _head(axes: Axes, run: Run, judged: Sequence[Verdict]) -> None:
    where = ["queue-or-task", *origin(run)[:2], *stamps(run)[:1]]
    _write(axes, MARGIN, 52, plain("  ·  ".join(where), 90), size=13, color=MUTED)
    _write(axes, MARGIN, 100, "Does this background job need a queue?", size=27, weight="bold")
    lines = textwrap.wrap(answer(list(judged)), 92)
    for number, line in enumerate(_cut(lines, 3)):
        _write(axes, MARGIN, 145 + 30 * number, line, size=16)


def _verdicts(axes: Axes, judged: Sequence[Verdict]) -> None:
    shown = judged[:MOST_VERDICTS]
    width = (WIDTH - 2 * MARGIN) / max(1, len(shown))
    for place, verdict in enumerate(shown):
        left = MARGIN + place * width
        letters = int(width / 10.5)
        axes.plot([left, left + width - 24], [252, 252], color=LINE, linewidth=2)
        _write(axes, left, 282, plain(formatting.title(verdict.scenario), letters), size=14, color=MUTED)
        _write(axes, left, 316, plain(verdict.take, letters - 4), size=18, weight="bold")
        for number, mark in enumerate(verdict.marks[:3]):
            line = 350 + 27 * number
            _write(axes, left, line, mark.symbol, size=13, color=STATES[mark.state], weight="bold")
            text = plain(f"{_short(mark.side)}: {mark.text}", letters + 4)
            _write(axes, left + 24, line, text, size=12)


def _faults(axes: Axes, found: HeatMap) -> None:
    lines = [line for column in found.columns for line in column]
    cell = min(_CELL, (WIDTH - 2 * MARGIN - _NAMES) / max(1, len(lines)))
    top = 466
    for row, side in enumerate(found.sides[:3]):
        middle = top + (row + 0.5) * (_CELL + 2)
        _write(axes, MARGIN, middle + 5, plain(side.replace(" Celery", ""), 12), size=12, color=MUTED)
        for place, line in enumerate(lines):
            _mark(axes, MARGIN + _NAMES + place * cell, middle, cell, line.marks[row])
    for place, line in enumerate(lines):
        across = MARGIN + _NAMES + (place + 0.5) * cell
        _write(axes, across, top - 6, line.number[:2], size=8, color=MUTED, ha="center")
    key = "   ".join(f"{symbol} {text}" for _, symbol, text in found.key)
    _write(axes, MARGIN, 590, plain(f"Each fault at each side:   {key}", 200), size=9, color=MUTED)


def _short(side: str) -> str:
    return formatting.side(side).replace(" Celery", "")


def _mark(axes: Axes, left: float, middle: float, cell: float, mark: Mark) -> None:
    colour = KINDS[mark.kind]
    shade = 0.0 if mark.kind == "absent" else 0.12 + 0.35 * mark.heat
    box = Rectangle((left + 1, middle - _CELL / 2), cell - 2, _CELL, color=colour, alpha=shade, linewidth=0)
    axes.add_patch(box)
    _write(axes, left + cell / 2, middle + 5, mark.symbol, size=11, color=colour, weight="bold", ha="center")


def _write(axes: Axes, left: float, baseline: float, text: str, *, size: float, **style: Any) -> None:
    axes.text(left, baseline, text, fontsize=size * 72 / _DPI * 1.35, va="baseline", **{"color": INK} | style)


def _cut(lines: Sequence[str], most: int) -> list[str]:
    return [*lines] if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1]} …"]
