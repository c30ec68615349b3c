"""Names written beside the lines that they belong to, moved apart so that none runs into another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from reports.figures import canvas

#: Inches between two names, one above the other, and the column of names right of a plot.
GAP = 0.175
COLUMN = 1.42


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A name for the line that ends at `height`, in the data's own unit."""

    height: float
    name: str
    side: str
    hollow: bool = False


def beside(axes: Axes, labels: Sequence[Label], *, inches: float) -> None:
    """Write each name right of a plot of so many inches, with a thin lead from the end of its line."""
    ordered = sorted(labels, key=lambda label: label.height)
    ends = [_share(axes, label.height) for label in ordered]
    for label, end, place in zip(ordered, ends, spread(ends, GAP / inches), strict=True):
        colour = canvas.colour(label.side)
        lead = {"color": colour, "linewidth": 0.8, "clip_on": False, "transform": axes.transAxes}
        axes.plot([1.0, 1.03], [end, place], **lead)
        mark = {"markersize": 5, "markerfacecolor": canvas.PAPER if label.hollow else colour}
        axes.plot([1.045], [place], canvas.marker(label.side), **mark, **lead)
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


def _share(axes: Axes, height: float) -> float:
    """Where a height of the data lies on the plot: 0 at its foot, 1 at its top, never beyond."""
    _, place = axes.transLimits.transform(axes.transScale.transform((axes.get_xlim()[0], height)))
    return min(max(float(place), 0.0), 1.0)
