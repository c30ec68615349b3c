"""Draw a timeline as a small SVG in the colours of the page.

A page has a hundred of them, so each takes few bytes: coordinates are whole pixels, all marks of one kind are
one path, and every timeline uses the one key of the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.timelines.choice import OPEN_ENDED, Row, Timeline

#: Pixels: the width, the left and right ends of the plot, the height of a row, the space above the first.
WIDTH = 520
LEFT, RIGHT = 92, 386
ROW = 12
HEAD = 18
#: The key below the rows.
KEY_HEIGHT = 34
KEY_ID = "timeline-key"
#: Least width of a shaded fault, pixels.
LEAST_SHADE = 2
#: Seconds between two lines of the grid: the first that makes at most GRID_LINES.
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
GRID_LINES = 6
#: Most characters of a label, and of the text beside a row.
LABEL_LENGTH, TEXT_LENGTH = 16, 22
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How one kind of event is drawn; the path begins at the event's place on its row."""

    style: str
    path: str
    text: str


MARKS = {
    "accepted": Mark(style="k", path="v-4", text="accepted"),
    "start": Mark(style="h", path="l-4-3v6z", text="start of a run"),
    "effect": Mark(style="e", path="h0", text="effect"),
    "done": Mark(style="k", path="v4", text="run done"),
    "raised": Mark(style="x", path="m-3 3l3-6 3 6", text="run raised"),
    "failed": Mark(style="x", path="m-3-3l6 6m0-6l-6 6", text="given up"),
    "cancelled": Mark(style="x", path="m-2-4v8m4-8v8", text="cancelled"),
    "refused": Mark(style="h", path="m-3-3h6v6h-6z", text="refused"),
    "unknown": Mark(style="h", path="m0-4l4 4-4 4-4-4z", text="no answer"),
    "held": Mark(style="h", path="m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", text="still held"),
}
#: Marks in each line of the key.
KEY_COLUMNS = 5
#: Findings in the colour of a broken promise.
BROKEN = frozenset({"lost", "duplicated"})


def svg(timeline: Timeline, *, title: str, description: str) -> Markup:
    """Return the timeline as one `<svg>`, with a title and a description for screen readers."""
    height = HEAD + ROW * len(timeline.rows) + KEY_HEIGHT
    parts = [
        f'<svg class="tl" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>",
        *_fault(timeline),
        *_grid(timeline),
        *(_text(row, number) for number, row in enumerate(timeline.rows)),
        *_paths(timeline),
        f'<use href="#{KEY_ID}" y="{height - KEY_HEIGHT}"/></svg>',
    ]
    return Markup("".join(parts))  # noqa: S704 - every text in it has been escaped


def key() -> Markup:
    """Return the key to the marks, which all timelines of a page use; it shows nothing by itself."""
    step = WIDTH // KEY_COLUMNS
    places = [(9 + at % KEY_COLUMNS * step, 10 + at // KEY_COLUMNS * 15) for at in range(len(MARKS))]
    marks = [
        f'<path class="{mark.style}" d="M{x} {y}{mark.path}"/>'
        f'<text x="{x + 10}" y="{y + 4}">{mark.text}</text>'
        for (x, y), mark in zip(places, MARKS.values(), strict=True)
    ]
    return Markup(  # noqa: S704 - our own words
        f'<svg class="tl-key" aria-hidden="true" width="0" height="0"><defs><g class="tl" id="{KEY_ID}">'
        f"{''.join(marks)}</g></defs></svg>"
    )


def _fault(timeline: Timeline) -> Iterator[str]:
    if timeline.fault_ns is None:
        return
    left, right = (_x(timeline, t) for t in timeline.fault_ns)
    width, height = max(LEAST_SHADE, right - left), ROW * len(timeline.rows) + 4
    yield f'<rect class="f" x="{left}" y="{HEAD - 4}" width="{width}" height="{height}"/>'


def _grid(timeline: Timeline) -> Iterator[str]:
    """Lines at whole steps from the strike, or from the first event if there was none."""
    zero = timeline.fault_ns[0] if timeline.fault_ns else timeline.start_ns
    first, last = ((t - zero) / NS_PER_S for t in (timeline.start_ns, timeline.end_ns))
    widest = (last - first) / GRID_LINES
    step = next((step for step in STEPS_S if step >= widest), widest)
    numbers = range(-int(-first // step), int(last // step) + 1)
    places = [(_x(timeline, zero + int(number * step * NS_PER_S)), number * step) for number in numbers]
    bottom = HEAD + ROW * len(timeline.rows)
    yield f'<path class="g" d="{"".join(f"M{x} {HEAD - 4}V{bottom}" for x, _ in places)}"/>'
    yield from (f'<text class="n" x="{x}" y="12">{_seconds(value)}</text>' for x, value in places)


def _seconds(value: float) -> str:
    return f"{value:+g} s".replace("-", "\N{MINUS SIGN}") if abs(value) > 1e-9 else "0"  # noqa: PLR2004 - rounding


def _text(row: Row, number: int) -> str:
    y = HEAD + ROW * number + 10
    grave = ' class="b"' if row.finding in BROKEN else ""
    text = escape(_cut(row.text, TEXT_LENGTH))
    return (
        f'<text y="{y}">{escape(_cut(row.label, LABEL_LENGTH))}</text>'
        f'<text{grave} x="{RIGHT + 8}" y="{y}">{text}</text>'
    )


def _paths(timeline: Timeline) -> Iterator[str]:
    rows = list(enumerate(timeline.rows))
    lasts = {number: _x(timeline, row.history.last) for number, row in rows}
    known = (f"M{_x(timeline, row.history.first)} {_y(n)}H{lasts[n]}" for n, row in rows)
    yield f'<path class="l" d="{"".join(known)}"/>'
    awaited = [f"M{lasts[n]} {_y(n)}H{RIGHT}" for n, row in rows if row.finding in OPEN_ENDED]
    if awaited:
        yield f'<path class="o" d="{"".join(awaited)}"/>'
    for event, mark in MARKS.items():
        if places := list(_places(timeline, event)):
            yield f'<path class="{mark.style}" d="{"".join(f"M{x} {y}{mark.path}" for x, y in places)}"/>'


def _places(timeline: Timeline, event: str) -> Iterable[tuple[int, int]]:
    """The places of this kind of event, each pixel of a row once."""
    for number, row in enumerate(timeline.rows):
        times = row.history.times.get(event, ())
        yield from ((x, _y(number)) for x in dict.fromkeys(_x(timeline, t) for t in times))


def _x(timeline: Timeline, t: int) -> int:
    share = (t - timeline.start_ns) / (timeline.end_ns - timeline.start_ns)
    return LEFT + round(min(1.0, max(0.0, share)) * (RIGHT - LEFT))


def _y(number: int) -> int:
    return HEAD + ROW * number + ROW // 2


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
