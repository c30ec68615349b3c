"""The page of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from reports.data import evidence, formatting
from reports.index.entries import Entry, Point, Unreadable
from reports.index.trends import MOST_GROUPS, MOST_RUNS, Group
from reports.pages.templating import rendered
from reports.summary.figures import formatted

#: The figures below a verdict in its cell: for each scenario their keys and labels.
BENEATH = {
    "account_setup": {"response_p50": "response", "lost_10": "lost at kill -9 of the app"},
    "account_sync": {"age_p99": "age p99"},
    "welcome_email": {"caller_p50": "caller cost"},
}
_CHOICES = {"no queue": "no queue needed", "journal": "a journalled task", "neither": "neither is enough"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The choice for one scenario in one run, with the figures of both sides."""

    choice: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A run and its cells, one for each scenario; None where the run did not measure it."""

    entry: Entry
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A group and its drawn figures."""

    group: Group
    figures: tuple[tuple[str, Markup], ...]


def html(
    found: Sequence[Entry | Unreadable], groups: Sequence[Group], *, where: Path, pairs: Sequence[str]
) -> str:
    """Return the page of the folder `where`, with links to the pages of `pairs` of runs.

    The same entries give the same text.
    """
    runs = [entry for entry in found if isinstance(entry, Entry)]
    return rendered(
        "index.html.j2",
        scenarios=[formatting.scenario(scenario) for scenario in BENEATH],
        rows=[row(entry) for entry in runs],
        unreadable=[entry for entry in found if isinstance(entry, Unreadable)],
        groups=_drawn(groups),
        where=where,
        pairs=pairs,
        most_runs=MOST_RUNS,
        most_groups=MOST_GROUPS,
    )


def row(entry: Entry) -> Row:
    """Return a run with its cells."""
    choices = dict(entry.choices)
    return Row(
        entry=entry,
        cells=tuple(
            Cell(
                choice=_CHOICES.get(choices[scenario], choices[scenario]),
                lines=tuple(filter(None, (_line(entry, scenario, key, name) for key, name in names.items()))),
            )
            if scenario in choices
            else None
            for scenario, names in BENEATH.items()
        ),
    )


def _line(entry: Entry, scenario: str, key: str, name: str) -> str:
    """As in "response: 31 ms in-process, 39 ms hardened Celery"; empty without a figure."""
    own = [point for point in entry.points if (point.key, point.scenario) == (key, scenario)]
    task = _best(own, evidence.TASK)
    queue = next((best for side in evidence.QUEUES if (best := _best(own, side)) is not None), None)
    text = [
        f"{formatted(point.value, point.key)} {formatting.side(point.side)}"
        for point in (task, queue)
        if point
    ]
    return f"{name}: {', '.join(text)}" if text else ""


def _best(points: Sequence[Point], side: str) -> Point | None:
    """The side's lowest figure over its policies, which the verdicts take too."""
    return min((point for point in points if point.side == side), key=lambda point: point.value, default=None)


def _drawn(groups: Sequence[Group]) -> list[Drawn]:
    if not groups:
        return []
    from reports import figures  # matplotlib is slow to import and writes a cache
    from reports.index import drawing

    with figures.drawing():
        return [
            Drawn(group=group, figures=tuple((trend.title, drawing.draw(trend)) for trend in group.trends))
            for group in groups
        ]
