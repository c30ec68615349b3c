"""The failure matrix: fault by side, each cell with a verdict, the classes that occurred, and a prediction.

`unknown` outranks `held`, and a loss that was seen outranks both (METHOD.md). Rows of the scenario
that a fault aims at, known by their prediction, make the matrix; the other scenarios' jobs, which
were about at the time, stand beside it: the blast radius.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from bench.schema import SIDES
from reports import commands, words
from reports.frames import groups
from reports.reading import Run

#: The classes of accepted jobs; each job is in exactly one.
CLASSES = {
    "done_once": "done once",
    "duplicated": "doubled",
    "failed_visibly": "failed visibly",
    "stuck": "stuck",
    "lost": "lost",
}
#: What can be said of a job beside its class.
FLAGS = {
    "refused": "refused",
    "unknown": "unknown to the caller",
    "late": "late",
    "ghost": "ghost",
    "unexpected": "unexpected",
    "cancelled": "cancelled by name",
}
#: Classes that break a promise.
BREAKS = frozenset({"duplicated", "lost"})
#: The scenario whose ticks nobody hands over: what a fault did to them is told by its own checker.
PERIODIC = "account_sync"
#: Marks of the notes under the matrix.
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """held, broken or unknown, said by a symbol, a word and a colour."""

    state: str
    told: str

    @property
    def symbol(self) -> str:
        """A mark that needs no colour."""
        return {"held": "\N{CHECK MARK}", "broken": "\N{BALLOT X}"}.get(self.state, "?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """So many jobs of one class or flag; `breaks` where there should be none."""

    told: str
    breaks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All strikes of one fault at one side and scenario; classes and flags without a job are left out."""

    judgements: tuple[Judgement, ...]
    accepted: str
    classes: tuple[Count, ...]
    flags: tuple[Count, ...]
    sums: str  # empty where every strike's sum check holds
    recovery: str
    predicted: str
    as_predicted: str
    marks: str  # of its notes
    seen: tuple[str, ...]  # what the fault's own checker found, strike by strike
    examples: tuple[str, ...]  # the gravest finding of each strike, with the shortest history that shows it

    @property
    def state(self) -> str:
        """The judgements as one: broken, else unknown, else held."""
        states = {judgement.state for judgement in self.judgements}
        return next(state for state in ("broken", "unknown", "held") if state in states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault and scenario over the sides; None where the fault did not strike a side."""

    fault: str
    scenario: str
    command: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The rows at which a fault aimed, and those beside it."""

    sides: tuple[str, ...]
    rows: tuple[Row, ...]
    beside: tuple[Row, ...]
    notes: tuple[tuple[str, str], ...]
    room_left: str
    sums: str

    @property
    def beside_told(self) -> str:
        """What the folded rows hold, in a line."""
        cells = [cell for row in self.beside for cell in row.cells if cell is not None]
        broken, unknown = (sum(cell.state == state for cell in cells) for state in ("broken", "unknown"))
        parts = [f"jobs lost or doubled in {broken} of {len(cells)} cells"] if broken else []
        parts += [f"{unknown} of {len(cells)} cells unknown"] if unknown else []
        return f"The other scenario, beside the fault: {', '.join(parts) or 'no job lost or doubled'}"


def matrix(run: Run) -> Matrix | None:
    """The matrix of the run's faults, or None where none struck."""
    failures = run.table("failures").dropna(subset=["fault"]).sort_values("fault", kind="stable")
    if failures.empty:
        return None
    there = set(failures["side"])
    sides = [side for side in SIDES if side in there] + sorted(there - set(SIDES))
    notes = dict(zip(_notes(failures["note"]), _marks(), strict=False))
    aimed = _aimed_at(failures)
    found = [
        (key in aimed, _row(run, key, group, sides, notes))
        for key, group in groups(failures, "fault", "scenario")
    ]
    rows = tuple(row for main, row in found if main)
    strikes = failures.groupby(["fault", "side", "scenario"])["lost"].agg(["size", "sum"])
    return Matrix(
        sides=tuple(words.side(side) for side in sides),
        rows=rows,
        beside=tuple(row for main, row in found if not main),
        notes=tuple((mark, note) for note, mark in notes.items()),
        room_left=words.room_left(strikes[strikes["sum"] == 0]["size"]),
        sums=sum_checks(run),
    )


def state(said: pd.Series[str], seen: float) -> str:
    """The verdict over strikes: what was `seen` breaks it, else every strike must say held."""
    if seen > 0 or (said == "broken").any():
        return "broken"
    return "held" if len(said) and (said == "held").all() else "unknown"


def _aimed_at(failures: pd.DataFrame) -> set[tuple[float, str]]:
    """The faults with the scenarios that have a prediction; all scenarios of a fault without any."""
    aimed: set[tuple[float, str]] = set()
    for fault, group in groups(failures, "fault"):
        predicted = group[group["predicted"] != ""]
        aimed |= {(fault, scenario) for scenario in (predicted if len(predicted) else group)["scenario"]}
    return aimed


def _row(
    run: Run, key: tuple[float, str], group: pd.DataFrame, sides: list[str], notes: dict[str, str]
) -> Row:
    number, scenario = key
    return Row(
        fault=words.fault(number, group["slug"].iloc[0]),
        scenario=words.scenario(scenario),
        command=commands.measure(run, "fault", fault=int(number)) if math.isfinite(number) else "",
        cells=tuple(_cell(group[group["side"] == side], notes) for side in sides),
    )


def _cell(rows: pd.DataFrame, notes: dict[str, str]) -> Cell | None:
    if rows.empty:
        return None
    strikes = "" if len(rows) == 1 else f" in {len(rows)} strikes"
    return Cell(
        judgements=_judgements(rows),
        accepted=f"{words.count(rows['accepted'].sum())} accepted{strikes}",
        classes=_counts(rows, CLASSES),
        flags=_counts(rows, FLAGS),
        sums=_sums(rows),
        recovery=_recovery(rows),
        predicted="; ".join(_distinct(rows["predicted"])),
        as_predicted=_as_predicted(_distinct(rows["as_predicted"])),
        marks=" ".join(notes[note] for note in _notes(rows["note"]) if note in notes),
        seen=tuple(_distinct(rows["seen"])),
        examples=tuple(_distinct(rows["example"])),
    )


def _judgements(rows: pd.DataFrame) -> tuple[Judgement, ...]:
    lost, doubled = rows["lost"].sum(), rows["duplicated"].sum()
    loses, doubles = state(rows["at_least_once"], lost), state(rows["at_most_once"], doubled)
    if loses == doubles == "unknown":
        nothing = rows["accepted"].sum() == 0
        ticks = nothing and (rows["scenario"] == PERIODIC).all()
        told = "ticks, see the figures" if ticks else "nothing accepted" if nothing else "unknown"
        return (Judgement(state="unknown", told=told),)
    if loses == doubles == "held":
        return (Judgement(state="held", told="none lost or doubled"),)
    return (
        _judgement(loses, "none lost", f"{words.count(lost)} lost", "losses unknown"),
        _judgement(doubles, "none doubled", f"{words.count(doubled)} doubled", "doubling unknown"),
    )


def _judgement(found: str, held: str, broken: str, unknown: str) -> Judgement:
    return Judgement(state=found, told={"held": held, "broken": broken}.get(found, unknown))


def _counts(rows: pd.DataFrame, names: dict[str, str]) -> tuple[Count, ...]:
    totals = rows[list(names)].sum()
    return tuple(
        Count(told=f"{words.count(totals[column])} {name}", breaks=column in BREAKS)
        for column, name in names.items()
        if totals[column] > 0
    )


def _sums(rows: pd.DataFrame) -> str:
    bad = int((~rows["sum_ok"].fillna(value=False).astype(bool)).sum())
    return f"sum check fails in {bad} of {words.plural(len(rows), 'strike')}" if bad else ""


def _recovery(rows: pd.DataFrame) -> str:
    worst = float(rows["t_first_s"].max())
    if worst == math.inf:
        return "no effect after it by the limit"
    return "" if math.isnan(worst) else f"next effect after {words.seconds(worst)}"


def _as_predicted(said: list[str]) -> str:
    if not said:
        return "not compared"
    names = {"yes": "as predicted", "no": "not as predicted", "partly": "partly as predicted"}
    return names.get(said[0], said[0]) if len(said) == 1 else "partly as predicted"


def _notes(values: pd.Series[str]) -> list[str]:
    """The notes, taken apart at semicolons, so that the same thing is told once."""
    return list(dict.fromkeys(part for value in _distinct(values) for part in value.split("; ") if part))


def _marks() -> list[str]:
    return [*LETTERS, *(first + second for first in LETTERS for second in LETTERS)]


def _distinct(values: pd.Series[str]) -> list[str]:
    return [str(value) for value in dict.fromkeys(values) if value]


def sum_checks(run: Run) -> str:
    """How many counts add up, in a sentence; empty where none struck."""
    failures = run.table("failures")
    if failures.empty:
        return ""
    good = int(failures["sum_ok"].fillna(value=False).sum())
    return (
        f"In {good} of {len(failures)} counts, one for each strike and scenario, the five classes add up to "
        "the accepted jobs."
    )
