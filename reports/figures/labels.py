"""Names written beside the lines that they belong to, moved apart so that none runs into another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from reports.figures import canvas

#: Inches between two names, one above the other, and the column of names right of a plot.
GAP = 0.175
COLUMN = 1.42


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A name for the line that ends at `across` and `height`, in the data's own units."""

    across: float
    height: float
    name: str
    side: str
    hollow: bool = False


def beside(axes: Axes, labels: Sequence[Label], *, inches: float) -> None:
    """Write each name right of a plot of so many inches, with a thin lead from the end of its line."""
    ordered = sorted(labels, key=lambda label: label.height)
    ends = [_shares(axes, label) for label in ordered]
    places = spread([height for _, height in ends], GAP / inches)
    for label, (across, height), place in zip(ordered, ends, places, strict=True):
        colour = canvas.colour(label.side)
        lead: dict[str, Any] = {
            "color": colour,
            "linewidth": 0.7,
            "clip_on": False,
            "transform": axes.transAxes,
        }
        canvas.stroke(axes, [across, 1.03], [height, place], **lead)
        mark: dict[str, Any] = {"markersize": 5, "markerfacecolor": canvas.PAPER if label.hollow else colour}
        canvas.marks(axes, [1.045], [place], canvas.marker(label.side), **mark, **lead)
        axes.text(
            1.07, place, canvas.plain(label.name, 17), va="center", fontsize=9.5, transform=axes.transAxes
        )


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The ascending `places` (0 to 1) moved as little as needed to lie `gap` apart, from 0 upwards.

    More names than there is room for go on above 1 rather than over each other.
    """
    top = max(1.0, gap * (len(places) - 1))
    moved: list[float] = []
    for number, place in enumerate(places):
        least = moved[-1] + gap if moved else 0.0
        most = top - gap * (len(places) - 1 - number)
        moved.append(min(max(place, least), max(most, least)))
    return moved


def _shares(axes: Axes, label: Label) -> tuple[float, float]:
    """Where a line ends on the plot: 0 at its left and foot, 1 at its right and top, never beyond."""
    found = axes.transLimits.transform(axes.transScale.transform((label.across, label.height)))
    across, height = (min(max(float(share), 0.0), 1.0) for share in found)
    return across, height
