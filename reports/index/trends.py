"""Headline figures from run to run, of one machine and one profile: others are not comparable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.schema import SIDES
from reports.data import formatting
from reports.data.tables import Table
from reports.index.entries import Entry, Point, Unreadable
from reports.summary.figures import formatted, title

#: The figures that have a trend: key and scenario.
FOLLOWED = (
    ("response_p50", "account_setup"),
    ("caller_p50", "welcome_email"),
    ("age_p99", "account_sync"),
    ("lost_10", "account_setup"),
    ("pss", ""),
)
#: Most runs of one trend: the newest. The table above has all.
MOST_RUNS = 60
#: Most pairs of machine and profile that have a trend: those with the newest runs.
MOST_GROUPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One side, and policy, over the runs of a group; NaN where a run has no such figure."""

    side: str
    policy: str
    points: tuple[Point | None, ...]

    @property
    def label(self) -> str:
        """The side, and the policy where there is one."""
        return ", ".join(filter(None, [formatting.side(self.side), formatting.policy(self.policy)]))

    @property
    def values(self) -> list[float]:
        """The value in each run."""
        return [point.value if point else math.nan for point in self.points]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One figure over the runs of a group, with a table of the plotted numbers."""

    slug: str
    key: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The runs of one machine and one profile, oldest first."""

    machine: str
    profile: str
    runs: tuple[Entry, ...]
    trends: tuple[Trend, ...]


def trends(found: Sequence[Entry | Unreadable]) -> list[Group]:
    """A group for each machine and profile with two runs or more; the one with the newest run first."""
    by: dict[tuple[tuple[str, ...], str], list[Entry]] = {}
    for entry in found:
        if isinstance(entry, Entry):
            by.setdefault((entry.machine, entry.profile), []).append(entry)
    several = [runs[:MOST_RUNS][::-1] for runs in by.values() if len(runs) > 1]
    groups = [_group(number, runs) for number, runs in enumerate(several[:MOST_GROUPS])]
    return [group for group in groups if group.trends]


def _group(number: int, runs: list[Entry]) -> Group:
    made = [
        _trend(f"trend-{number}-{key.replace('_', '-')}", key, scenario, runs) for key, scenario in FOLLOWED
    ]
    return Group(
        machine=runs[0].machine_summary,
        profile=runs[0].profile,
        runs=tuple(runs),
        trends=tuple(trend for trend in made if trend is not None),
    )


def _trend(slug: str, key: str, scenario: str, runs: list[Entry]) -> Trend | None:
    """The figure over the runs, or None if fewer than two of them have it."""
    own = [
        {
            (point.side, point.policy): point
            for point in run.points
            if (point.key, point.scenario) == (key, scenario)
        }
        for run in runs
    ]
    subjects = sorted({subject for points in own for subject in points}, key=_place)
    lines = [
        Line(side=side, policy=policy, points=tuple(points.get((side, policy)) for points in own))
        for side, policy in subjects
    ]
    plotted = tuple(line for line in lines if any(map(math.isfinite, line.values)))
    if not plotted or sum(map(bool, own)) < 2:  # noqa: PLR2004 - one run makes no trend
        return None
    name = title(key, scenario, "")
    unit = next(point.unit for points in own for point in points.values())
    return Trend(slug=slug, key=key, title=name, unit=unit, lines=plotted, table=_table(name, runs, plotted))


def _place(subject: tuple[str, str]) -> tuple[int, str, str]:
    side, policy = subject
    return (SIDES.index(side) if side in SIDES else len(SIDES), side, policy)


def _table(name: str, runs: list[Entry], lines: Sequence[Line]) -> Table:
    rows = tuple(
        (str(number + 1), run.started, run.commit, *(_cell(line.points[number]) for line in lines))
        for number, run in enumerate(runs)
    )
    return Table(
        caption=f"{name}: the plotted numbers, oldest run first",
        columns=("run", "started, UTC", "commit", *(line.label for line in lines)),
        rows=rows,
        texts=frozenset({"started, UTC", "commit"}),
        folded=True,
    )


def _cell(point: Point | None) -> str:
    if point is None:
        return formatting.NOTHING
    value, low, high = (formatted(number, point.key) for number in (point.value, point.low, point.high))
    if point.unit == "share":
        return f"{value}, up to {high} of strikes"
    return formatting.spread(value, low, high)
