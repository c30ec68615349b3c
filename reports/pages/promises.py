"""Promises kept: for each promise of docs/method.md and each side a tick or a cross, and the thresholds.

A promise over faults is judged fault by fault: no count is summed over faults, since it would only weigh how
much load each fault had. A tick says what was seen and promises nothing beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.schema import SIDES, State
from reports.data import evidence, formatting
from reports.data.frames import groups
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
    #: The faults that broke it: the words, and the id of their details on the page.
    faults: tuple[tuple[str, str], ...] = ()

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
class Promises:
    """The promises by side, and the run's own checks."""

    sides: tuple[str, ...]
    rows: tuple[Row, ...]
    checks: tuple[Check, ...]


def promises(run: Run) -> Promises:
    """Every promise at every side of the run."""
    sides = tuple(side for side in SIDES if side in run.texts("sides")) or SIDES
    rows = [
        Row(promise=promise, cells=tuple(tuple(judge(run, side)) for side in sides))
        for promise, judge in _PROMISES.items()
    ]
    return Promises(
        sides=tuple(formatting.side(side) for side in sides),
        rows=tuple(rows),
        checks=tuple(
            _check(item["text"], item["subject"], item["value"], item["met"]) for item in run.checks
        ),
    )


def _none_of(column: str, *, of: str, judged: str = "") -> Callable[[Run, str], Sequence[Mark]]:
    """A judge of a count that must be zero at each fault; a strike that is not known leaves it open."""

    def judge(run: Run, side: str) -> Sequence[Mark]:
        failures = run.table("failures")
        rows = failures[(failures["side"] == side) & (failures[of] > 0)].dropna(subset=["fault"])
        if rows.empty:
            return [_absent("no strike")]
        by_fault = sorted(groups(rows, "fault"), key=lambda item: float(item[0]))
        broken = [(int(fault), group) for fault, group in by_fault if (group[column] > 0).any()]
        named = tuple((_counted(fault, group, column, of), f"f{fault}-{side}") for fault, group in broken)
        faults = formatting.plural(len(by_fault), "fault")
        unknown = int((rows[judged] == "unknown").sum()) if judged else 0
        if broken:
            return [Mark(state="broken", text=f"not at {len(broken)} of {faults}:", faults=named)]
        if unknown:
            return [
                Mark(
                    state="unknown",
                    text=f"at {faults}, but not known in {formatting.plural(unknown, 'strike')}",
                )
            ]
        return [Mark(state="held", text=f"at {faults}")]

    return judge


def _counted(fault: int, rows: pd.DataFrame, column: str, of: str) -> str:
    return f"{formatting.fault_name(fault)} ({formatting.count_of(rows[column].sum(), rows[of].sum())})"


def _callers(run: Run, side: str) -> Sequence[Mark]:
    jobs = run.table("jobs")
    waits = jobs[jobs["side"] == side]["caller_ms"].dropna()
    if waits.empty:
        return [_absent("no call in a latency block")]
    longest = float(waits.max())
    return [
        _mark(
            longest <= CALLER_MS, f"longest of {formatting.count(len(waits))} calls: {formatting.ms(longest)}"
        )
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
    "No accepted job is lost, at each fault": _none_of("lost", of="accepted", judged="at_least_once"),
    "No accepted job (ticks are none) is done twice, at each fault": _none_of(
        "duplicated", of="accepted", judged="at_most_once"
    ),
    "No caller is refused or waits for over 1 s, at each fault": _none_of("user_errors", of="submitted"),
    "No caller waits for over 1 s, without a fault": _callers,
    "Every tick is on time (within 50 ms), without a fault": _ticks,
}


def _mark(kept: bool, text: str) -> Mark:  # noqa: FBT001 - the one thing that a mark is of
    return Mark(state="held" if kept else "broken", text=text)


def _absent(what: str) -> Mark:
    return Mark(state="unknown", text=what)


def _check(text: object, subject: object, value: object, met: object) -> Check:
    known = isinstance(value, int | float) and not math.isnan(value)
    measured = formatting.amount(float(value)) if known and isinstance(value, int | float) else "not measured"
    measured = formatting.OVER_LIMIT if value == math.inf else measured
    state: State = "held" if met is True else ("broken" if known else "unknown")
    return Check(text=str(text), subject=str(subject), mark=Mark(state=state, text=measured))
