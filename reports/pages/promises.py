"""The promises of docs/method.md at each side, with a tick or a cross, and the run's own thresholds.

They are counts and shares that were seen in so many strikes, jobs and ticks: a tick promises nothing
beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.schema import SIDES, State
from reports.data import evidence, formatting
from reports.data.run import Run

#: A caller that waits for longer has seen an error (docs/method.md), ms.
CALLER_MS = 1000.0
#: Share of ticks that must be on time, %.
ALL = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Whether a promise was kept, said by a symbol and in words."""

    state: State
    text: str

    @property
    def symbol(self) -> str:
        """A mark that needs no colour."""
        return formatting.symbol(self.state)

    @property
    def word(self) -> str:
        """The mark for those who hear it."""
        return {"held": "kept", "broken": "not kept"}.get(self.state, "not known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One promise over the sides."""

    promise: str
    cells: tuple[tuple[Mark, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A threshold that the run was held against, as text, at one subject."""

    text: str
    subject: str
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The promises by side, and the run's own checks."""

    sides: tuple[str, ...]
    rows: tuple[Row, ...]
    checks: tuple[Check, ...]


def thresholds(run: Run) -> Thresholds:
    """Every promise at every side of the run."""
    sides = tuple(side for side in SIDES if side in run.texts("sides")) or SIDES
    rows = [
        Row(promise=promise, cells=tuple(tuple(judge(run, side)) for side in sides))
        for promise, judge in _PROMISES.items()
    ]
    return Thresholds(
        sides=tuple(formatting.side(side) for side in sides),
        rows=tuple(rows),
        checks=tuple(
            _check(item["text"], item["subject"], item["value"], item["met"]) for item in run.checks
        ),
    )


def _none_of(column: str, noun: str, *, of: str, judged: str = "") -> Callable[[Run, str], Sequence[Mark]]:
    """A judge of a count over all strikes that must be zero; a strike that is not known leaves it open."""

    def judge(run: Run, side: str) -> Sequence[Mark]:
        failures = run.table("failures")
        rows = failures[(failures["side"] == side) & (failures[of] > 0)]
        if rows.empty:
            return [_absent("no strike")]
        hit = sorted({f"{fault:g}" for fault in rows[rows[column] > 0]["fault"]}, key=float)
        text = (
            f"{formatting.count_of(rows[column].sum(), rows[of].sum())} {noun}, "
            f"at {len(hit)} of {formatting.plural(rows['fault'].nunique(), 'fault')}"
            + (f" ({', '.join(hit)})" if hit else "")
        )
        unknown = int((rows[judged] == "unknown").sum()) if judged else 0
        if unknown and not hit:
            return [Mark(state="unknown", text=f"{text}; not known in {unknown}")]
        return [_mark(not hit, text)]

    return judge


def _callers(run: Run, side: str) -> Sequence[Mark]:
    jobs = run.table("jobs")
    waits = jobs[jobs["side"] == side]["caller_ms"].dropna()
    if waits.empty:
        return [_absent("no load")]
    longest = float(waits.max())
    return [
        _mark(longest <= CALLER_MS, f"longest of {formatting.count(len(waits))}: {formatting.ms(longest)}")
    ]


def _ticks(run: Run, side: str) -> Sequence[Mark]:
    drift = run.table("drift")
    own = drift[drift["side"] == side].dropna(subset=["on_time_percent"])
    if own.empty:
        return [_absent("no sync")]
    return [_on_time(str(policy), rows) for policy, rows in own.groupby("policy", sort=False)]


def _on_time(policy: str, rows: pd.DataFrame) -> Mark:
    least = float(rows["on_time_percent"].min())
    missed = evidence.total(rows["missed"])
    text = f"{formatting.policy(policy)}: {formatting.number(least)} % at the least, {missed} missed"
    return _mark(least >= ALL and not missed, text)


_PROMISES: dict[str, Callable[[Run, str], Sequence[Mark]]] = {
    "No accepted job lost, over every strike": _none_of(
        "lost", "jobs", of="accepted", judged="at_least_once"
    ),
    "No job done twice, over every strike": _none_of(
        "duplicated", "jobs", of="accepted", judged="at_most_once"
    ),
    "No caller refused or kept for over 1 s, over every strike": _none_of(
        "user_errors", "submits", of="submitted"
    ),
    "No caller kept for over 1 s, without a fault": _callers,
    "Every tick on time (within 50 ms), without a fault": _ticks,
}


def _mark(kept: bool, text: str) -> Mark:  # noqa: FBT001 - the one thing that a mark is of
    return Mark(state="held" if kept else "broken", text=text)


def _absent(what: str) -> Mark:
    return Mark(state="unknown", text=f"not measured: {what}")


def _check(text: object, subject: object, value: object, met: object) -> Check:
    known = isinstance(value, int | float) and not math.isnan(value)
    measured = formatting.amount(float(value)) if known and isinstance(value, int | float) else "not measured"
    measured = formatting.OVER_LIMIT if value == math.inf else measured
    state: State = "held" if met is True else ("broken" if known else "unknown")
    return Check(text=str(text), subject=str(subject), mark=Mark(state=state, text=measured))
