"""The parts of a verdict, and the numbers that several scenarios show."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from bench.schema import SIDES, State
from reports.data import evidence, formatting
from reports.data.evidence import QUEUES, TASK, Comparison
from reports.data.run import Run

Choice = Literal["no queue", "journal", "queue", "neither", "unsettled", "not measured"]

#: What a queue is, for a reader who has not seen the project.
QUEUE_NOTES = {
    "celery-hardened": "Hardened is not Celery as it comes. It is Celery with this project's own "
    "celery_impl.sidekiq (leases on jobs, retries and a dead set in Redis, a beat that holds a lease), on a "
    "Redis that writes each job to disk before it answers.",
    "celery-stock": "Stock is Celery with its defaults untouched.",
    "celery-app": "The queue is your Celery app with its own settings.",
}
#: The same for a journalled task.
JOURNAL_NOTE = (
    "A journalled task is a supervised task in the app whose job is a row of the app's own database, by this "
    "project's inprocess.journal: no broker, no worker, and after a kill the next process of the app runs it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number of a verdict: its label, its value, and its interval or bound."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that was not measured, and the command that measures it."""

    what: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideMark:
    """Whether one side is good enough for a scenario, and the figure that says so."""

    side: str
    state: State  # held: good enough; broken: not; unknown: the figures do not decide
    text: str
    at: str = ""  # the fault that the text is about
    also: tuple[str, ...] = ()  # what else belongs on the card, each a few words

    @property
    def symbol(self) -> str:
        """A mark that needs no colour."""
        return formatting.symbol(self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to take for one scenario, why, and what would flip it."""

    scenario: str
    choice: Choice
    queue: str  # the queue that the verdict speaks of, as in "a hardened queue"
    condition: str  # when the verdict holds, as in "if losing one at a crash is acceptable"; may be empty
    sentence: str
    question: str
    numbers: tuple[Number, ...]  # these decide
    beside: tuple[Number, ...]  # these do not decide
    flips: tuple[str, ...]
    gaps: tuple[Gap, ...]
    caveat: str = ""  # what the numbers do not prove
    queue_note: str = ""  # what that queue is
    marks: tuple[SideMark, ...] = ()  # each measured side that could be taken
    but: tuple[SideMark, ...] = ()  # where a side that is good enough failed all the same
    reason: str = ""  # what the marks compare, or what decides between equals, in a sentence

    @property
    def open(self) -> bool:
        """Whether the figures do not decide."""
        return self.choice in {"unsettled", "not measured"}

    @property
    def take(self) -> str:
        """What to take: "a hardened queue", "a journalled task", "a task in the app", or why none."""
        named = {
            "queue": self.queue,
            "journal": "a journalled task",
            "no queue": "a task in the app",
            "neither": "neither is enough",
        }
        return named.get(self.choice, {"unsettled": "not settled"}.get(self.choice, self.choice))


def in_order(marks: Iterable[SideMark]) -> tuple[SideMark, ...]:
    """The marks in the order of the sides."""
    return tuple(sorted(marks, key=lambda mark: SIDES.index(mark.side)))


def measured(*numbers: Number | None) -> tuple[Number, ...]:
    """The numbers that were measured."""
    return tuple(number for number in numbers if number is not None)


def queue_in(table: pd.DataFrame, scenario: str) -> str:
    """The queue that is judged by this table: hardened Celery if the table has it, else stock."""
    rows = table[table["scenario"] == scenario]
    seen = {*rows["side"], *rows.get("baseline", ())}
    return next((side for side in QUEUES if side in seen), QUEUES[0])


def median_of(run: Run, scenario: str, metric: str, side: str) -> Comparison | None:
    """The median of a metric at `side` compared with in-process."""
    return evidence.comparison(
        run.table("comparisons"),
        scenario=scenario,
        metric=metric,
        quantile=formatting.MEDIAN,
        baseline=TASK,
        side=side,
    )


def compared(found: Comparison) -> str:
    """As in "median caller cost is higher with hardened Celery (3.1 times, by 800 µs)"."""
    name = formatting.metric(found.metric, found.quantile)
    if not found.differs:
        return f"{name}: {found.called} ({_evidence(found, of_both=True)})"
    text = f"{name} is {found.words} with {formatting.side(found.side)}"
    if found.size_known:
        return f"{text} ({formatting.fold(found.ratio)}, by {formatting.ms(abs(found.difference_ms))})"
    interval = formatting.interval(found.low, found.high)
    return f"{text} ({interval}; the direction is sure, the size is not)" if interval else text


def comparison_number(found: Comparison | None) -> Number | None:
    """A ratio with its interval and words; only the words if the interval is too wide."""
    if found is None:
        return None
    name = formatting.metric(found.metric, found.quantile)
    return Number(
        label=f"{name}: {formatting.side(found.side)} over {formatting.side(found.baseline)}",
        value=formatting.fold(found.ratio) if found.size_known else found.called,
        detail=f"{_difference(found)}; {_evidence(found)}" if found.size_known else _unsized(found),
    )


def _difference(found: Comparison) -> str:
    """As in "higher by 2.80 ms (margin 1.00 ms)": a ratio alone does not tell whether anybody feels it."""
    by = f" by {formatting.ms(abs(found.difference_ms))}" if found.differs else ""
    margin = f" (margin {formatting.ms(found.margin_ms)})" if math.isfinite(found.margin_ms) else ""
    return f"{found.called}{by}{margin}"


def _unsized(found: Comparison) -> str:
    sure = "; the direction is sure, the size is not" if found.differs and found.high < math.inf else ""
    return f"{_evidence(found)}{sure}"


def _evidence(found: Comparison, *, of_both: bool = False) -> str:
    """The interval and the number of pairs; with `of_both` it names both sides."""
    pairs = f"{formatting.plural(found.pairs, 'pair')} of blocks"
    interval = formatting.interval(found.low, found.high)
    if interval and of_both:
        return f"{formatting.side(found.side)} {interval} {formatting.side(found.baseline)}, from {pairs}"
    if interval:
        return f"95 % interval {interval}, {pairs}"
    return (
        f"{formatting.fold(found.ratio)} in {pairs}" if math.isfinite(found.ratio) and found.ratio else pairs
    )


def cost_number(run: Run, queue: str) -> Number | None:
    """Memory, processor time and processes of both sides."""
    task, other = (evidence.cost(run.table("cost"), side) for side in (TASK, queue))
    if task is None or other is None:
        return None
    return Number(
        label=f"memory: {formatting.side(queue)} against {formatting.side(TASK)}",
        value=f"{formatting.number(other.pss_mb)} v {formatting.number(task.pss_mb)} MB",
        detail=f"{formatting.number(other.cpu_s_per_1000)} v "
        f"{formatting.number(task.cpu_s_per_1000)} CPU seconds "
        f"for 1,000 jobs; {formatting.count(other.processes)} v {formatting.count(task.processes)} processes",
    )
