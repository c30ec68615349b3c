"""What handing jobs over costs, from pytest-benchmark's own file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.schema import MICRO as MICRO_FILE
from reports.data import formatting, rerun_commands
from reports.data.run import Run
from reports.data.tables import Table, table
from reports.figures import canvas
from reports.figures.rows import Row, describe, draw

#: Milliseconds of a second: pytest-benchmark's unit.
_MS = 1000.0


def call_costs(run: Run) -> list[canvas.Figure]:
    """A figure for each group of benchmarks: only within one do the same things get timed."""
    groups = dict.fromkeys(_group(benchmark) for benchmark in run.micro)
    found = []
    for group in groups:
        rows = [_row(benchmark) for benchmark in run.micro if _group(benchmark) == group]
        if drawn := [row for row in rows if canvas.on_log_axis(row.middle)]:
            found.append(_figure(run, group, drawn))
    return found


def _group(benchmark: Mapping[str, Any]) -> str:
    return str(benchmark.get("group") or "hand one job over")


def _figure(run: Run, group: str, rows: list[Row]) -> canvas.Figure:
    return canvas.figure(
        draw(rows, label="time of one call (log)", log=True, times=True),
        slug=canvas.slug("calls", group),
        title=f"The time to {group}",
        description=[describe(row) for row in rows],
        caption="What one call costs the code that makes it, with nothing else running.",
        notes="The mark is the median over the rounds, the bar their middle half; the table has the rounds.",
        n=", ".join(f"{name} {formatting.plural(rounds, 'round')}" for name, rounds in _rounds(run, group)),
        command=rerun_commands.measure(run, "micro"),
        numbers=numbers([benchmark for benchmark in run.micro if _group(benchmark) == group]),
        raw=(MICRO_FILE,),
    )


def _rounds(run: Run, group: str) -> list[tuple[str, float]]:
    own = [benchmark for benchmark in run.micro if _group(benchmark) == group]
    return [(call_name(benchmark), stat(benchmark, "rounds")) for benchmark in own]


def numbers(benchmarks: Sequence[Mapping[str, Any]]) -> Table | None:
    """The plotted numbers, and what stands beside them."""
    times = {"25 %": "q1", "median": "median", "75 %": "q3", "least": "min"}
    rows = [
        {"call": call_name(benchmark)}
        | {title: formatting.ms(stat(benchmark, field) * _MS) for title, field in times.items()}
        | {"rounds": formatting.count(stat(benchmark, "rounds"))}
        for benchmark in benchmarks
    ]
    return table("the plotted numbers", rows, folded=True)


def call_name(benchmark: Mapping[str, Any]) -> str:
    """A benchmark's name as a person says it."""
    return formatting.call(str(benchmark.get("name", "")))


def stat(benchmark: Mapping[str, Any], field: str) -> float:
    """One of its statistics in seconds; NaN where it has none."""
    try:
        return float(benchmark["stats"][field])
    except (KeyError, TypeError, ValueError):
        return math.nan


def _row(benchmark: Mapping[str, Any]) -> Row:
    median = stat(benchmark, "median")
    return Row(
        label=call_name(benchmark),
        text=formatting.ms(median * _MS),
        side=_side(call_name(benchmark)),
        middle=median * _MS,
        low=stat(benchmark, "q1") * _MS,
        high=stat(benchmark, "q3") * _MS,
    )


def _side(name: str) -> str:
    """The side whose colour a call takes: `delay` is the queue's word."""
    if "stock" in name:
        return "celery-stock"
    return "celery-hardened" if "delay" in name or "hardened" in name or "celery" in name else "inprocess"
