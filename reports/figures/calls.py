"""What the one call costs that hands a job over, from pytest-benchmark's own file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reports import commands, words
from reports.figures import canvas
from reports.figures.rows import Row, draw, drawable, told
from reports.reading import Run

_MS = 1000.0
_MICROSECONDS = 1e6


def calls(run: Run) -> canvas.Figure | None:
    """Median and quartiles of each call, or None where none was measured."""
    rows = [row for row in map(_row, run.micro) if drawable(row)]
    if not rows:
        return None
    slug, title = "calls", "What the call itself costs"
    description = canvas.sentences([told(row) for row in rows])
    return canvas.Figure(
        slug=slug,
        title=title,
        description=description,
        caption="Time until the call that hands over one job returns: median, with the middle half as a bar. "
        "Nothing else runs meanwhile.",
        command=commands.measure(run, "micro"),
        svg=canvas.svg(draw(rows, label="µs a call (log)"), slug=slug, title=title, description=description),
    )


def call_name(benchmark: Mapping[str, Any]) -> str:
    """A benchmark's name as a person says it."""
    return str(benchmark.get("name", "")).removeprefix("test_").replace("_", " ")


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
        told=words.ms(median * _MS),
        side=_side(call_name(benchmark)),
        middle=median * _MICROSECONDS,
        low=stat(benchmark, "q1") * _MICROSECONDS,
        high=stat(benchmark, "q3") * _MICROSECONDS,
    )


def _side(name: str) -> str:
    """The side whose colour a call takes: `delay` is the queue's word."""
    return "celery-hardened" if "delay" in name or "celery" in name else "inprocess"
