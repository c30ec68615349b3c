"""The verdicts of a run as a table for a terminal, and figures without one; made of `summary.json` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.schema import SIDES
from reports.data import formatting
from reports.summary import figures
from reports.summary.plain import number

#: Choices of a verdict that decide nothing.
OPEN = frozenset({"unsettled", "not measured"})
#: Spaces between two columns.
GAP = 3


def terminal(summary: Mapping[str, Any]) -> str:
    """Warnings, then a row for each verdict, with a tick, a cross or a question mark for each side.

    After the table: how much of each measure counts, and the key figures of scenarios without a verdict.
    """
    warnings = [f"! {text}" for text in summary["stamps"]]
    sides = marked_sides(summary)
    rows = [("", *map(formatting.side, sides), "take")]
    for verdict in summary["verdicts"]:
        failed = {mark["side"] for mark in verdict["but"]}
        cells = {
            mark["side"]: mark_text(mark) + (" (*)" if mark["side"] in failed else "")
            for mark in verdict["marks"]
        }
        name = formatting.scenario(verdict["scenario"])
        rows.append((name, *(cells.get(side, formatting.NOTHING) for side in sides), verdict["take"]))
    return (
        "\n".join([*warnings, *_aligned(rows), *_but(summary), "", _measured(summary), *_figures(summary)])
        + "\n"
    )


def _but(summary: Mapping[str, Any]) -> list[str]:
    """A line for each side that is good enough for a verdict and lost jobs at another fault."""
    return [
        f"(*) {formatting.side(mark['side'])} {mark['text']} at {mark['at']}"
        for verdict in summary["verdicts"]
        for mark in verdict["but"]
    ]


def _measured(summary: Mapping[str, Any]) -> str:
    """How many blocks of each measure count, as in "measured: latency 8 blocks, fault 4 blocks"."""
    found = dict(summary["measured"])
    costs = found.pop("micro", 0)
    parts = [f"{measure} {formatting.plural(blocks, 'block')}" for measure, blocks in found.items()]
    parts += [formatting.plural(costs, "call cost")] if costs else []
    return f"measured: {', '.join(parts) or 'nothing that counts'}"


def _figures(summary: Mapping[str, Any]) -> list[str]:
    """A line for each key figure that was measured without deciding a verdict."""
    undecided = {verdict["scenario"] for verdict in summary["verdicts"] if verdict["choice"] in OPEN}
    lines: dict[str, list[str]] = {}
    for item in summary["figures"] if undecided else ():
        if item["scenario"] in {*undecided, ""} and item["value"] is not None:
            title = figures.title(item["key"], item["scenario"], item["policy"])
            value = figures.formatted(number(item["value"]), item["key"])
            lines.setdefault(title, []).append(f"{formatting.side(item['side'])} {value}")
    return [f"  {title}: {', '.join(values)}" for title, values in lines.items()]


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
