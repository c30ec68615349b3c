"""The verdicts of a run as a table for a terminal, made of `summary.json` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.schema import SIDES
from reports.data import formatting

#: Spaces between two columns.
GAP = 3
#: Figures without a verdict that are named; the report has the rest.
MOST_NAMED = 5


def terminal(summary: Mapping[str, Any]) -> str:
    """Warnings, then a row for each verdict, with a tick, a cross or a question mark for each side."""
    warnings = [f"! {text}" for text in summary["stamps"]]
    sides = marked_sides(summary)
    rows = [("", *map(formatting.side, sides), "take")]
    for verdict in summary["verdicts"]:
        cells = {mark["side"]: mark_text(mark) for mark in verdict["marks"]}
        name = formatting.scenario(verdict["scenario"])
        rows.append((name, *(cells.get(side, formatting.NOTHING) for side in sides), verdict["take"]))
    return "\n".join([*warnings, *_aligned(rows), *_also_measured(summary["also_measured"])]) + "\n"


def _also_measured(found: Sequence[str]) -> list[str]:
    more = [f"{len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
    return [f"no verdict on, but in the report: {', '.join([*found[:MOST_NAMED], *more])}"] if found else []


def marked_sides(summary: Mapping[str, Any]) -> list[str]:
    """The sides that any verdict marks, in the order of the schema."""
    marked = {mark["side"] for verdict in summary["verdicts"] for mark in verdict["marks"]}
    return [side for side in SIDES if side in marked]


def mark_text(mark: Mapping[str, Any]) -> str:
    """A mark with its figure, as in "\N{BALLOT X} lost 10 of 10"."""
    return f"{formatting.symbol(mark['state'])} {mark['text']}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) + GAP for column in zip(*rows, strict=True)]
    return ["".join(map(str.ljust, row, widths)).rstrip() for row in rows]
