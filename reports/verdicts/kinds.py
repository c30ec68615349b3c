"""What a verdict is made of, and the numbers that more than one scenario shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from reports import evidence, words
from reports.evidence import QUEUES, TASK, Comparison
from reports.reading import Run

Choice = Literal["no queue", "queue", "neither", "unsettled", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One of the numbers that decide: what it is, its value, and its interval or bound."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What a verdict lacks, and the command that fills it."""

    what: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to take for one scenario, why, and what would flip it."""

    scenario: str
    choice: Choice
    sentence: str
    question: str
    numbers: tuple[Number, ...]
    flips: tuple[str, ...]
    gaps: tuple[Gap, ...]

    @property
    def open(self) -> bool:
        """Whether the figures left the question open."""
        return self.choice in {"unsettled", "not measured"}


def filled(*numbers: Number | None) -> tuple[Number, ...]:
    """The numbers that were measured."""
    return tuple(number for number in numbers if number is not None)


def queue_in(table: pd.DataFrame, scenario: str) -> str:
    """The side that speaks for queues in this table: hardened where it is in it, else stock."""
    rows = table[table["scenario"] == scenario]
    seen = {*rows["side"], *rows.get("baseline", ())}
    return next((side for side in QUEUES if side in seen), QUEUES[0])


def median_of(run: Run, scenario: str, metric: str, side: str) -> Comparison | None:
    """The median of a metric at `side` compared with in-process."""
    return evidence.comparison(
        run.table("comparisons"),
        scenario=scenario,
        metric=metric,
        quantile=words.MEDIAN,
        baseline=TASK,
        side=side,
    )


def compared(found: Comparison) -> str:
    """As in "median caller cost is higher with hardened Celery (3.1 times, by 800 µs)"."""
    name, ratio = words.metric(found.metric, found.quantile), words.fold(found.ratio)
    if found.words in {"lower", "higher"}:
        by = words.ms(abs(found.difference_ms))
        return f"{name} is {found.words} with {words.side(found.side)} ({ratio}, by {by})"
    return f"{name}: {found.words} ({ratio})"


def comparison_number(found: Comparison | None) -> Number | None:
    """A ratio with its interval and the harness's words."""
    if found is None:
        return None
    name = words.metric(found.metric, found.quantile)
    return Number(
        label=f"{name}: {words.side(found.side)} over {words.side(found.baseline)}",
        value=words.fold(found.ratio),
        detail=f"95 % interval {words.number(found.low)} to {words.number(found.high)}, "
        f"{words.count(found.pairs)} pairs: {found.words}",
    )


def cost_number(run: Run, queue: str) -> Number | None:
    """Memory, processor and processes of both sides."""
    task, other = (evidence.cost(run.table("cost"), side) for side in (TASK, queue))
    if task is None or other is None:
        return None
    return Number(
        label=f"memory: {words.side(queue)} against {words.side(TASK)}",
        value=f"{words.number(other.pss_mb)} v {words.number(task.pss_mb)} MB",
        detail=f"{words.number(other.cpu_s_per_1000)} v {words.number(task.cpu_s_per_1000)} CPU seconds "
        f"for 1,000 jobs; {words.count(other.processes)} v {words.count(task.processes)} processes",
    )
