"""The failure matrix: fault by side, each cell with a verdict, the counts of every class, and the sum check.

`unknown` outranks `held`, and a loss that was seen outranks both (METHOD.md). A fault that struck
several scenarios has a row for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from bench.schema import SIDES
from reports import words
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
class Cell:
    """All strikes of one fault at one side and scenario."""

    strikes: str
    accepted: str
    judgements: tuple[Judgement, ...]
    counts: tuple[tuple[str, str], ...]
    bound: str
    sums: str
    recovery: str
    predicted: str
    as_predicted: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Rows of cells; None where a fault did not strike a side."""

    sides: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


def matrix(run: Run) -> Matrix | None:
    """The matrix of the run's faults, or None where none struck."""
    failures = run.table("failures").dropna(subset=["fault"])
    if failures.empty:
        return None
    there = set(failures["side"])
    sides = [side for side in SIDES if side in there] + sorted(there - set(SIDES))
    rows = []
    for (number, scenario), group in groups(
        failures.sort_values("fault", kind="stable"), "fault", "scenario"
    ):
        name = f"{words.fault(number, group['slug'].iloc[0])}: {words.scenario(scenario)}"
        rows.append((name, tuple(_cell(group[group["side"] == side]) for side in sides)))
    return Matrix(sides=tuple(words.side(side) for side in sides), rows=tuple(rows))


def state(said: pd.Series[str], seen: float) -> str:
    """The verdict over strikes: what was `seen` breaks it, else every strike must say held."""
    if seen > 0 or (said == "broken").any():
        return "broken"
    return "held" if len(said) and (said == "held").all() else "unknown"


def _cell(rows: pd.DataFrame) -> Cell | None:
    if rows.empty:
        return None
    lost, doubled = rows["lost"].sum(), rows["duplicated"].sum()
    return Cell(
        strikes=f"{len(rows)} strike{'' if len(rows) == 1 else 's'}",
        accepted=words.count(rows["accepted"].sum()),
        judgements=(
            _judgement(state(rows["at_least_once"], lost), "none lost", f"{words.count(lost)} lost"),
            _judgement(
                state(rows["at_most_once"], doubled), "none doubled", f"{words.count(doubled)} doubled"
            ),
        ),
        counts=_counts(rows),
        bound=words.bounded_zero(len(rows), "strikes") if lost == 0 else "",
        sums=_sums(rows),
        recovery=_recovery(rows),
        predicted="; ".join(_distinct(rows["predicted"])),
        as_predicted=_as_predicted(_distinct(rows["as_predicted"])),
        notes=tuple(_distinct(rows["note"])),
    )


def _judgement(found: str, held: str, broken: str) -> Judgement:
    return Judgement(state=found, told={"held": held, "broken": broken}.get(found, "unknown"))


def _counts(rows: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Every class, and the flags that occurred."""
    classes = [(name, words.count(rows[column].sum())) for column, name in CLASSES.items()]
    flags = [
        (name, words.count(total)) for column, name in FLAGS.items() if (total := rows[column].sum()) > 0
    ]
    return (*classes, *flags)


def _sums(rows: pd.DataFrame) -> str:
    good = int(rows["sum_ok"].fillna(value=False).sum())
    return (
        f"sum check {'holds' if good == len(rows) else f'fails in {len(rows) - good} of {len(rows)} strikes'}"
    )


def _recovery(rows: pd.DataFrame) -> str:
    worst = rows["t_first_s"].max()
    return "" if math.isnan(worst) else f"next effect after {words.seconds(float(worst))} at worst"


def _as_predicted(said: list[str]) -> str:
    if not said:
        return "not compared"
    names = {"yes": "as predicted", "no": "not as predicted", "partly": "partly as predicted"}
    return names.get(said[0], said[0]) if len(said) == 1 else "partly as predicted"


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
