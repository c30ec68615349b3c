"""The sheet that every figure is drawn on: size, style, and SVG in the page's own colours.

matplotlib knows no CSS, so a figure is drawn in stand-in colours (#000001 …) that become
`var(--…)` in the SVG; the page's style sheet then colours light and dark alike. Text stays text.
The same input gives the same bytes: ids come from a fixed salt, and no date is written.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D

from reports.data.tables import Table
from reports.figures.svg_shrink import smaller

#: Width of every figure in inches: a phone's, so that 11 pt text stays legible there.
WIDTH = 5.0

#: What a log axis shows at most; anything beyond is a broken number.
SMALLEST, LARGEST = 1e-9, 1e12

INK, MUTED, LINE, BAND, PAPER = "#000001", "#000002", "#000003", "#000004", "#000005"
#: Behind a text that a line may cross.
ON_PAPER = {"facecolor": PAPER, "linewidth": 0, "pad": 1}
_SIDES = {
    "inprocess": "#000011",
    "celery-stock": "#000012",
    "celery-hardened": "#000013",
    "inline": "#000014",
    "celery-app": "#000015",
    "inprocess-journal": "#000016",
}
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    BAND: "var(--band)",
    PAPER: "var(--paper)",
    **{stand_in: f"var(--side-{name})" for name, stand_in in _SIDES.items()},
}
_MARKERS = {
    "inprocess": "o",
    "inprocess-journal": "P",
    "celery-stock": "s",
    "celery-hardened": "D",
    "celery-app": "D",
    "inline": "^",
}
_DASHES: dict[str, str | tuple[int, tuple[int, ...]]] = {
    "inprocess": "-",
    "inprocess-journal": (0, (7, 2)),
    "celery-stock": ":",
    "celery-hardened": "--",
    "celery-app": "--",
    "inline": "-.",
}

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titley": 1.02,  # else it is worked out anew for every plot
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "queue-or-task",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.minor.visible": False,
    "ytick.color": MUTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawn figure and what stands under it.

    `description` says in words what the picture shows, for those who do not see it. `caption` says in two
    lines what it is and why it matters, `notes` how to read it, and `n` what is counted in it. `command`
    measures it again, `numbers` are those that are plotted, and `raw` names the files of the run directory
    that hold the rows behind them.
    """

    slug: str
    title: str
    description: str
    caption: str
    notes: str
    n: str
    command: str
    svg: Markup
    numbers: Table | None = None
    raw: tuple[str, ...] = ()


def figure(
    drawn: Sheet,
    *,
    slug: str,
    title: str,
    description: Sequence[str],
    caption: str,
    notes: str,
    n: str,
    command: str,
    numbers: Table | None,
    raw: Sequence[str],
) -> Figure:
    """A figure of what is `drawn`; `description` is in parts."""
    text = sentences(description)
    return Figure(
        slug=slug,
        title=title,
        description=text,
        caption=caption,
        notes=notes,
        n=n,
        command=command,
        numbers=numbers and replace(numbers, caption=f"{title}: {numbers.caption}"),
        raw=tuple(f"{name}.csv" if "." not in name else name for name in raw),
        svg=svg(drawn, slug=slug, title=title, description=text),
    )


def drawing() -> AbstractContextManager[None]:
    """The style for everything that is drawn within."""
    mpl.use("svg")  # the one canvas that needs no display
    return mpl.rc_context(_STYLE)


def sheet(
    height: float,
    rows: int = 1,
    *,
    left: float = 0.1,
    right: float = 0.1,
    top: float = 0.1,
    bottom: float = 0.5,
    gap: float = 0.0,
) -> tuple[Sheet, list[Axes]]:
    """An empty sheet with `rows` plots, one above the other; margins and the gap between plots in inches.

    Margins are given, not worked out from the text, which takes as long as the drawing itself.
    """
    figure = Sheet(figsize=(WIDTH, height))
    plot = (height - top - bottom - gap * (rows - 1)) / rows
    figure.subplots_adjust(
        left=left / WIDTH,
        right=1 - right / WIDTH,
        top=1 - top / height,
        bottom=bottom / height,
        hspace=gap / plot,
    )
    axes = figure.subplots(rows, 1, squeeze=False)
    return figure, [row[0] for row in axes]


def stroke(axes: Axes, across: Sequence[float], heights: Sequence[float], **style: Any) -> None:
    """A line through points, as `axes.plot` draws it, in a plot whose limits are set.

    `plot` works them out anew for each line, which takes longer than to draw it.
    """
    axes.add_artist(Line2D(across, heights, **style))


def marks(axes: Axes, across: Sequence[float], heights: Sequence[float], mark: str, **style: Any) -> None:
    """Marks at points and no line; for the rest as `stroke`."""
    stroke(axes, across, heights, marker=mark, linestyle="none", **style)


def colour(side: str) -> str:
    """The stand-in for a side's colour; a side that is not known is drawn in ink."""
    return _SIDES.get(side, INK)


def marker(side: str) -> str:
    """A side's mark, so that colour is never alone in telling sides apart."""
    return _MARKERS.get(side, "v")


def dashes(side: str) -> str | tuple[int, tuple[int, ...]]:
    """A side's line style, for the same reason."""
    return _DASHES.get(side, "-")


def plain(text: str, limit: int = 46) -> str:
    """Text from a table made fit for a label: no control characters, cut at `limit` letters' width.

    Text stays text in the SVG, so the browser finds a font for whatever script it is in.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    if sum(map(_width, shown)) <= limit:
        return shown
    room, kept = limit - 1, ""
    for letter in shown:
        room -= _width(letter)
        if room < 0:
            break
        kept += letter
    return kept + "…"


def _width(letter: str) -> int:
    """Letters' widths that a letter takes: two in East Asian scripts, none where it joins the one before."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def svg(figure: Sheet, *, slug: str, title: str, description: str) -> Markup:
    """The sheet as an inline SVG with a title and a description for those who cannot see it."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # matplotlib's own font measures the text; the browser's fonts draw it
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support .* natively")
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    body = smaller(buffer.getvalue(), slug)
    body = re.sub("|".join(_VARIABLES), lambda found: _VARIABLES[found[0]], body)
    opening, _, rest = body.partition(">")
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    names = f' role="img" aria-labelledby="{slug}-name {slug}-desc"'
    described = (
        f'<title id="{slug}-name">{escape(title)}</title><desc id="{slug}-desc">{escape(description)}</desc>'
    )
    return Markup(opening + names + ">" + described + rest)  # noqa: S704 - matplotlib escapes its text, and we ours


def on_log_axis(value: float) -> bool:
    """Whether a log axis can show the value: above 0 and neither absurdly small nor large."""
    return SMALLEST < value < LARGEST


def on_plain_axis(value: float) -> bool:
    """Whether a plain axis can show the value: a number that is not absurdly large."""
    return abs(value) < LARGEST


def slug(kind: str, scenario: str) -> str:
    """An id for a figure of a scenario, whatever the scenario is called and in whichever script."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{kind} {scenario}".lower()).strip("-")
    told = re.fullmatch(r"[a-z0-9_ -]*", scenario)
    return name if told else f"{name}-{zlib.crc32(scenario.encode()):x}"


def sentences(parts: Sequence[str]) -> str:
    """Parts of a description as one text."""
    return "; ".join(parts) + "." if parts else ""


_METADATA = ("Creator", "Date", "Format", "Type")
