"""Every figure of a run, by the section of the page that shows it. Imports matplotlib: import it late."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reports import figures
from reports.data.run import Run
from reports.figures import Figure
from reports.pages.section import Drawn

#: What one piece of drawing gives: nothing where the run lacks the numbers.
Piece = Sequence[Figure] | Figure | None

#: The section that shows it, and what draws it; within a section in the order on the page.
_PIECES: tuple[tuple[str, Callable[[Run], Piece]], ...] = (
    ("latency", figures.ecdfs),
    ("latency", figures.responses),
    ("latency", figures.callers),
    ("latency", figures.forests),
    ("load", figures.capacity),
    ("load", figures.ramps),
    ("load", figures.loads),
    ("responsiveness", figures.hogs),
    ("responsiveness", figures.host_tax),
    ("drift", figures.phase),
    ("drift", figures.age),
    ("owners", figures.owners),
    ("cost", figures.resource_usage),
    ("cost", figures.moving_parts),
    ("cost", figures.call_costs),
    ("cold-start", figures.cold_starts),
    ("own", figures.harness_share),
)

#: What draws a run, piece by piece, within `figures.drawing`; `by_section` puts what they give together.
PIECES = tuple(draw for _, draw in _PIECES)


def by_section(drawn: Sequence[Piece]) -> Drawn:
    """What PIECES drew, in their order, as the figures of each section."""
    found: dict[str, tuple[Figure, ...]] = {}
    for (section, _), piece in zip(_PIECES, drawn, strict=True):
        some = () if piece is None else (piece,) if isinstance(piece, Figure) else tuple(piece)
        found[section] = found.get(section, ()) + some
    return found
