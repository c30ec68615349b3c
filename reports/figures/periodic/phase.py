"""When each tick of the sync began, against its grid, over time: drift is a line that leaves the band.

Every moment of the grid has a mark at the median of its owners and blocks and a bar over their range.
What disturbed a policy is marked where it happened: a tick that never ran, one that ran twice, and a
phase that stepped by more than a tick may be late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.data.tables import Table, table
from reports.figures import canvas

#: A tick that starts this late is still on time, ms (docs/method.md).
ON_TIME_MS = 50.0
#: Moments drawn of one side and policy; of a longer run neighbours are drawn together.
MOST_MOMENTS = 140
#: How far before a moment a tick still belongs to it, as a part of the distance of two.
NEARLY = 0.05
#: Inches of one plot, of the title above each, of the axis under the last, and of the scale on the left.
PLOT_HEIGHT, TITLE_HEIGHT = 1.05, 0.42
AXIS_HEIGHT, SCALE_WIDTH = 0.5, 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One side's policy: its ticks with `at` (s since the first of the block), its rows of `drift.csv`."""

    side: str
    policy: str
    ticks: pd.DataFrame
    drift: pd.DataFrame

    @property
    def name(self) -> str:
        """Side and policy in plain words."""
        return f"{formatting.side(self.side)}, {formatting.policy(self.policy)}"

    @property
    def missed(self) -> float:
        """Ticks that no run began in, over all owners and blocks; NaN where it was not counted."""
        return float(self.drift["missed"].sum(min_count=1))


def phase(run: Run) -> canvas.Figure | None:
    """A plot for each side and policy that synced, one above the other; None where none did."""
    found = policies(run)
    if not found:
        return None
    figure, plots = canvas.sheet(
        AXIS_HEIGHT + (PLOT_HEIGHT + TITLE_HEIGHT) * len(found),
        len(found),
        left=SCALE_WIDTH,
        top=TITLE_HEIGHT,
        bottom=AXIS_HEIGHT,
        gap=TITLE_HEIGHT,
    )
    seconds = max(float(policy.ticks["at"].max()) for policy in found)
    for axes, policy in zip(plots, found, strict=True):
        _plot(axes, policy)
        axes.set_xlim(-0.02 * seconds - 0.5, seconds + 0.5)
    for axes in plots[:-1]:
        axes.tick_params(labelbottom=False)
    plots[-1].set_xlabel("time since the first tick, s")
    ticks = sum(len(policy.ticks) for policy in found)
    return canvas.figure(
        figure,
        slug="phase",
        title="Phase of the periodic sync over time",
        description=[_describe(policy) for policy in found],
        caption="How late each tick began. A line that climbs is a sync that comes later and later; shaded "
        "is on time (0 to 50 ms).",
        notes="The mark is the median over owners and blocks, the bar their range; each plot has its own "
        "scale. Marked at the foot: a cross where a tick of an owner never ran, a plus where one ran twice; "
        "a dashed line where the median phase stepped by more than 50 ms.",
        n=f"{formatting.count(ticks)} ticks",
        command=rerun_commands.measure(run, "drift"),
        numbers=numbers(found),
        raw=("ticks", "drift"),
    )


def policies(run: Run) -> list[Policy]:
    """Every side and policy that has ticks with a phase."""
    ticks, drift = run.table("ticks"), run.table("drift")
    ticks = ticks[(ticks["due_ns"].abs() < math.inf) & (ticks["phase_ms"].abs() < canvas.LARGEST)]
    ticks = ticks.assign(at=(ticks["due_ns"] - ticks.groupby("block")["due_ns"].transform("min")) / 1e9)
    return [
        Policy(
            side=str(side),
            policy=str(policy),
            ticks=rows,
            drift=drift[(drift["side"] == side) & (drift["policy"] == policy)],
        )
        for (side, policy), rows in groups(ticks, "side", "policy")
    ]


def moments(ticks: pd.DataFrame) -> pd.DataFrame:
    """Columns at, low, middle and high of the phase over time, at most MOST_MOMENTS of them."""
    found = ticks.groupby(_moment(ticks["at"], ticks))["phase_ms"]
    return pd.DataFrame({"low": found.min(), "middle": found.median(), "high": found.max()}).rename_axis("at")


def steps(shown: pd.DataFrame) -> dict[float, float]:
    """The moments at which the median phase stepped by more than a tick may be late, with the step in ms."""
    change = shown["middle"].diff()
    large = change[change.abs() > ON_TIME_MS]
    return dict(zip(map(float, large.index.to_numpy()), map(float, large.to_numpy()), strict=True))


def missing(ticks: pd.DataFrame) -> list[float]:
    """Seconds since the first tick at which an owner's tick has no run, between two that have."""
    found: set[float] = set()
    for _, own in groups(ticks, "block", "owner"):
        numbers = own["tick"][own["tick"].abs() < canvas.LARGEST].astype(int)
        if len(numbers) > 1 and 0 < numbers.max() - numbers.min() < MOST_MOMENTS * 100:
            lacking = set(range(numbers.min(), numbers.max())) - set(numbers)
            interval = float(own["at"].max() - own["at"].min()) / float(numbers.max() - numbers.min())
            found |= {round(float(own["at"].min()) + (at - numbers.min()) * interval, 3) for at in lacking}
    return sorted(found)


def _moment(at: pd.Series[float], ticks: pd.DataFrame) -> pd.Series[float]:
    """The moment at which each time is drawn: its second, or in a long run one for several seconds."""
    width = max(1.0, float(ticks["at"].max()) / MOST_MOMENTS)
    return ((at / width + NEARLY) // 1) * width


def _plot(axes: Axes, policy: Policy) -> None:
    colour, shown = canvas.colour(policy.side), moments(policy.ticks)
    axes.axhspan(0, ON_TIME_MS, color=canvas.BAND, linewidth=0)
    low, high = min(-5.0, float(shown["low"].min())), max(60.0, float(shown["high"].max()))
    room = 0.08 * (high - low)
    axes.set_ylim(low - 2 * room, high + room)
    axes.plot(*_bars(shown), color=colour, linewidth=1, alpha=0.5)
    axes.plot(
        shown.index,
        shown["middle"],
        canvas.marker(policy.side),
        color=colour,
        markersize=2.5,
        markeredgewidth=0,
    )
    twice = policy.ticks["duplicate"].fillna(value=False).astype(bool)
    disturbed = (("x", pd.Series(missing(policy.ticks), dtype=float)), ("+", policy.ticks[twice]["at"]))
    foot = axes.get_ylim()[0]
    for mark, at in disturbed:
        places = sorted(set(_moment(at, policy.ticks)))[: 2 * MOST_MOMENTS]
        near: dict[str, Any] = {"color": canvas.INK, "markersize": 4.5, "clip_on": False}
        axes.plot(places, [foot] * len(places), mark, **near)
    for stepped in list(steps(shown))[:MOST_MOMENTS]:
        axes.axvline(stepped, color=canvas.MUTED, linewidth=0.8, linestyle="--")
    axes.set_title(canvas.plain(policy.name, 40), fontsize=10, fontweight="bold")
    inside: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": 9.5, "color": canvas.MUTED}
    axes.text(0.015, 0.96, canvas.plain(_short(policy), 44), transform=axes.transAxes, **inside)
    axes.set_ylabel("phase, ms", fontsize=9.5)
    axes.tick_params(labelsize=9.5)


def _bars(shown: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Every range as one broken line: a third of the bytes that single ones take."""
    across = [place for at in shown.index.to_numpy() for place in (float(at), float(at), math.nan)]
    ranges = shown[["low", "high"]].to_numpy()
    return across, [value for low, high in ranges for value in (float(low), float(high), math.nan)]


def _short(policy: Policy) -> str:
    rate = formatting.number(evidence.middle(policy.drift["drift_ppm"]))
    return f"{rate} ppm, {formatting.count(policy.missed)} missed"


def _describe(policy: Policy) -> str:
    ordered = policy.ticks.sort_values("due_ns", kind="stable")["phase_ms"]
    first, last = (formatting.ms(float(ordered.iloc[end])) for end in (0, -1))
    count = formatting.count(len(ordered))
    return f"{policy.name}: {count} ticks, first at {first}, last at {last}, {_short(policy)}"


def numbers(found: list[Policy]) -> Table | None:
    """The phase at the start, in the middle and at the end, and what disturbed it."""
    rows = []
    for policy in found:
        shown = moments(policy.ticks)
        middle = shown["middle"]
        stepped = steps(shown)
        rows.append(
            {
                "side and policy": policy.name,
                "blocks": formatting.count(policy.ticks["block"].nunique()),
                "owners": formatting.count(policy.ticks[["block", "owner"]].drop_duplicates().shape[0]),
                "ticks": formatting.count(len(policy.ticks)),
                "phase at the start": formatting.ms(float(middle.iloc[0])),
                "half-way": formatting.ms(float(middle.iloc[len(middle) // 2])),
                "at the end": formatting.ms(float(middle.iloc[-1])),
                "least": formatting.ms(float(shown["low"].min())),
                "most": formatting.ms(float(shown["high"].max())),
                "missed": formatting.count(policy.missed),
                "doubled": formatting.count(float(policy.drift["duplicates"].sum(min_count=1))),
                "steps over 50 ms": formatting.count(len(stepped)),
                "largest step": formatting.ms(max(stepped.values(), key=abs, default=math.nan)),
            }
        )
    return table("medians over owners and blocks", rows, folded=True)
