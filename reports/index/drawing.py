"""Draw a trend: a tick for each run, a line for each side, a bar for the range of a run's blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.data import formatting
from reports.figures import canvas
from reports.index.trends import Line, Trend
from reports.summary.figures import formatted

#: Inches of the plot, of the axis under it, of a row of the legend, and of the scale on the left.
PLOT_HEIGHT, AXIS_HEIGHT, LEGEND_ROW, SCALE_WIDTH = 1.7, 0.5, 0.24, 0.75
#: Factor between the largest and the smallest value above which the scale is logarithmic.
FAR_APART = 20.0


def draw(trend: Trend) -> Markup:
    """Return the trend as inline SVG."""
    legend = LEGEND_ROW * math.ceil(len(trend.lines) / 2)
    figure, (axes,) = canvas.sheet(
        PLOT_HEIGHT + AXIS_HEIGHT + legend, left=SCALE_WIDTH, bottom=AXIS_HEIGHT + legend
    )
    _scale(axes, trend)
    for place, line in enumerate(trend.lines):
        _line(axes, line, dashed=place)
    axes.set_xlabel("run, oldest first")
    axes.set_xlim(0.5, len(trend.lines[0].points) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="lower left", bbox_to_anchor=(0, 0), ncols=2, fontsize=9.5, handlelength=2.4)
    return canvas.svg(figure, slug=trend.slug, title=trend.title, description=_described(trend))


def _scale(axes: Axes, trend: Trend) -> None:
    values = [abs(value) for line in trend.lines for value in line.values if canvas.on_log_axis(abs(value))]
    if trend.unit != "share" and values and max(values) / min(values) > FAR_APART:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.05 if trend.unit == "share" else max(values, default=1.0) * 1.15)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value, trend.key)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def _line(axes: Axes, line: Line, *, dashed: int) -> None:
    places = [number + 1 for number, value in enumerate(line.values) if canvas.on_plain_axis(value)]
    values = [line.values[place - 1] for place in places]
    colour = canvas.colour(line.side)
    for place in places:
        point = line.points[place - 1]
        if (
            point is not None
            and point.unit != "share"
            and canvas.on_plain_axis(point.low)
            and canvas.on_plain_axis(point.high)
        ):
            axes.plot([place, place], [point.low, point.high], color=colour, linewidth=1, alpha=0.6)
    axes.plot(
        places,
        values,
        canvas.marker(line.side),
        linestyle=("-", "--", ":", "-.")[dashed % 4],
        color=colour,
        markersize=5,
        linewidth=1.4,
        label=canvas.plain(line.label, 30),
    )


def _described(trend: Trend) -> str:
    return canvas.sentences([_describe(line, trend.key) for line in trend.lines])


def _describe(line: Line, key: str) -> str:
    known = [value for value in line.values if not math.isnan(value)]
    return f"{line.label}: {_ends(known, key)}, {formatting.plural(len(known), 'run')}"


def _ends(values: Sequence[float], key: str) -> str:
    first, last = formatted(values[0], key), formatted(values[-1], key)
    return first if len(values) == 1 else f"{first} first, {last} last"
