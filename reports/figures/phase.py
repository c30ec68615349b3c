"""When each tick of the sync began, against its grid, over time: drift is a line that leaves the band."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from reports import commands, words
from reports.figures import canvas
from reports.frames import groups
from reports.reading import Run

#: A tick that starts this late is still on time, ms (METHOD.md).
ON_TIME_MS = 50.0
#: Ticks drawn of one side and policy.
MOST_TICKS = 300
#: Inches of one plot, of the title above each, of the axis under the last, and of the scale on the left.
PLOT_HEIGHT, TITLE_HEIGHT = 1.0, 0.35
AXIS_HEIGHT, SCALE_WIDTH = 0.5, 0.75


def phase(run: Run) -> canvas.Figure | None:
    """A plot for each side and policy that synced, one above the other; None where none did."""
    ticks = run.table("ticks")
    ticks = ticks[(ticks["due_ns"].abs() < math.inf) & (ticks["phase_ms"].abs() < canvas.LARGEST)]
    found = [(side, policy, rows) for (side, policy), rows in groups(ticks, "side", "policy")]
    if not found:
        return None
    slug, title = "phase", "Phase of the periodic sync over time"
    description = canvas.sentences([_told(*group) for group in found])
    figure, plots = canvas.sheet(
        AXIS_HEIGHT + (PLOT_HEIGHT + TITLE_HEIGHT) * len(found),
        len(found),
        left=SCALE_WIDTH,
        top=TITLE_HEIGHT,
        bottom=AXIS_HEIGHT,
        gap=TITLE_HEIGHT,
    )
    seconds = max(float(_elapsed(rows).max()) for _, _, rows in found)
    for axes, group in zip(plots, found, strict=True):
        _plot(axes, *group)
        axes.set_xlim(-0.5, seconds + 0.5)
    for axes in plots[:-1]:
        axes.tick_params(labelbottom=False)
    plots[-1].set_xlabel("time since the first tick, s")
    return canvas.Figure(
        slug=slug,
        title=title,
        description=description,
        caption="How many milliseconds after its moment on the grid each tick began. Inside the shade (0 to "
        "50 ms) is on time; a line that climbs drifts. Each plot has its own scale.",
        command=commands.measure(run, "drift"),
        svg=canvas.svg(figure, slug=slug, title=title, description=description),
    )


def _plot(axes: Axes, side: str, policy: str, rows: pd.DataFrame) -> None:
    thinned = rows.iloc[:: max(1, len(rows) // MOST_TICKS + 1)] if len(rows) > MOST_TICKS else rows
    axes.axhspan(0, ON_TIME_MS, color=canvas.BAND, linewidth=0)
    axes.plot(
        _elapsed(rows).loc[thinned.index],
        thinned["phase_ms"],
        canvas.marker(side),
        color=canvas.colour(side),
        markersize=3,
        alpha=0.7,
        markeredgewidth=0,
    )
    axes.set_ylim(
        min(-5.0, float(rows["phase_ms"].min()) * 1.1), max(60.0, float(rows["phase_ms"].max()) * 1.1)
    )
    axes.set_title(canvas.plain(f"{words.side(side)}, {words.policy(policy)}", 60))
    axes.set_ylabel("phase, ms")


def _elapsed(rows: pd.DataFrame) -> pd.Series[float]:
    """Seconds since the first tick of the tick's own block."""
    return (rows["due_ns"] - rows.groupby("block")["due_ns"].transform("min")) / 1e9


def _told(side: str, policy: str, rows: pd.DataFrame) -> str:
    ordered = rows.sort_values("due_ns")["phase_ms"]
    return (
        f"{words.side(side)}, {words.policy(policy)}: {len(rows)} ticks, "
        f"first at {words.ms(float(ordered.iloc[0]))}, last at {words.ms(float(ordered.iloc[-1]))}"
    )
