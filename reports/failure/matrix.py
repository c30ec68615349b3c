"""The failure matrix: faults by sides, and the blast radius.

The matrix has the rows of the scenario that a fault aims at, which have a prediction. The rows of the other
scenarios, whose jobs ran at the same time, are the blast radius.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from bench.schema import SIDES
from reports.data import formatting, rerun_commands
from reports.data.frames import records
from reports.data.run import Run
from reports.failure.cells import CLASSES, FLAGS, Cell, state
from reports.failure.detail import Detail, details, untimed
from reports.failure.excluded import Excluded, excluded
from reports.failure.predictions import Failed, failed
from reports.failure.subjects import Subject, notes, subjects
from reports.timelines import drawing, events

__all__ = ["CLASSES", "FLAGS", "Matrix", "Row", "matrix", "state", "sum_checks"]

#: Said where a fault did not strike a side.
ABSENT = "not struck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault and scenario over the sides; a cell is None where no strike counts, and `absent` says why."""

    slug: str
    fault: str
    scenario: str
    command: str
    cells: tuple[Cell | None, ...]
    absent: tuple[str, ...]

    @property
    def as_promised(self) -> bool:
        """Whether every side that was struck did what it promises, as predicted."""
        struck = [cell for cell in self.cells if cell is not None]
        return bool(struck) and all(cell.as_promised for cell in struck)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The rows at which a fault aimed, those beside it, and what each cell opens to, by its slug."""

    sides: tuple[str, ...]
    rows: tuple[Row, ...]
    beside: tuple[Row, ...]
    notes: tuple[tuple[str, str], ...]
    room_left: str
    sums: str
    details: Mapping[str, Detail]
    failed: tuple[Failed, ...]
    compared: int  # cells whose prediction was compared
    key: Markup  # to the timelines' marks
    has_events: bool  # whether the log of any strike is in the run directory
    untimed: str  # how many strikes have no times, and why; empty for none
    time_them: str  # the command that measures the times of the first of these faults

    @property
    def broke(self) -> tuple[Row, ...]:
        """The rows in which a side broke a promise or did not do as predicted."""
        return tuple(row for row in self.rows if not row.as_promised)

    @property
    def kept(self) -> tuple[Row, ...]:
        """The other rows."""
        return tuple(row for row in self.rows if row.as_promised)

    @property
    def beside_summary(self) -> str:
        """What the folded rows hold, in a line."""
        cells = [cell for row in self.beside for cell in row.cells if cell is not None]
        broken, unknown = (sum(cell.state == state for cell in cells) for state in ("broken", "unknown"))
        parts = [f"jobs lost or doubled in {broken} of {len(cells)} cells"] if broken else []
        parts += [f"{unknown} of {len(cells)} cells unknown"] if unknown else []
        return f"The other scenario, beside the fault: {', '.join(parts) or 'no job lost or doubled'}"


def matrix(run: Run) -> Matrix | None:
    """The matrix of the run's faults, or None where none struck."""
    failures = run.table("failures").dropna(subset=["fault"]).sort_values("fault", kind="stable")
    unmade = excluded(run)
    if failures.empty and not unmade:
        return None
    sides = _ordered({*failures["side"], *(side for _, side in unmade)})
    table = records(failures)
    found = subjects(table, unmade)
    aimed = [subject for subject in found if subject.aimed]
    strikes = failures.groupby(["fault", "side", "scenario"])["lost"].agg(["size", "sum"])
    left_out = untimed(run)
    untimed_faults = {row["block"]: int(row["fault"]) for row in table if row["block"] in left_out}
    return Matrix(
        sides=tuple(formatting.side(side) for side in sides),
        rows=_rows(run, aimed, sides, unmade),
        beside=_rows(run, [subject for subject in found if not subject.aimed], sides, {}),
        notes=tuple((mark, note) for note, mark in notes(table).items()),
        room_left=formatting.room_left(strikes[strikes["sum"] == 0]["size"]),
        sums=sum_checks(run),
        details=details(run, aimed),
        failed=failed(aimed),
        compared=sum(bool(subject.cell.prediction.held) for subject in aimed),
        key=drawing.key(),
        has_events=events.any_beside(run.directory, failures["block"]),
        untimed=_left_out(run, untimed_faults),
        time_them=rerun_commands.measure(run, "fault", fault=min(untimed_faults.values(), default=0)),
    )


def _rows(run: Run, found: Sequence[Subject], sides: Sequence[str], unmade: Excluded) -> tuple[Row, ...]:
    """One row for each fault and scenario, and one for each fault of which no strike counts."""
    by_place = {(subject.fault, subject.scenario, subject.side): subject for subject in found}
    keys = dict.fromkeys((subject.fault, subject.scenario) for subject in found)
    struck = {fault for fault, _ in keys}
    keys |= dict.fromkeys((fault, "") for fault, _ in unmade if fault not in struck)
    rows: list[Row] = []
    for fault, scenario in sorted(keys, key=lambda key: key[0]):
        across = [by_place.get((fault, scenario, side)) for side in sides]
        absent = [unmade.get((fault, side), ABSENT) for side in sides]
        made = _row(run, fault, scenario, across, absent)
        taken = sum(row.slug.partition("-of-")[0] == made.slug for row in rows)
        rows.append(replace(made, slug=f"{made.slug}-of-{taken + 1}") if taken else made)
    return tuple(rows)


def _row(
    run: Run, fault: float, scenario: str, across: Sequence[Subject | None], absent: Sequence[str]
) -> Row:
    slug = next((str(subject.strikes[0]["slug"]) for subject in across if subject), "")
    return Row(
        slug=f"fault-{fault:g}",
        fault=formatting.fault(fault, slug),
        scenario=formatting.scenario(scenario) if scenario or slug else "",
        command=rerun_commands.measure(run, "fault", fault=int(fault)) if math.isfinite(fault) else "",
        cells=tuple(subject.cell if subject else None for subject in across),
        absent=tuple(absent),
    )


def _ordered(sides: set[str]) -> list[str]:
    """The schema's order, then any other by name."""
    return [side for side in SIDES if side in sides] + sorted(sides - set(SIDES))


def _left_out(run: Run, untimed_faults: Mapping[str, int]) -> str:
    """How many strikes have no times, and why, in a sentence; empty for none."""
    if not untimed_faults:
        return ""
    struck = run.table("failures")["block"].nunique()
    lanes = run.mapping("plan").get("lanes")
    beside = f", with up to {lanes} blocks side by side" if isinstance(lanes, int) and lanes > 1 else ""
    return (
        f"In {formatting.count_of(len(untimed_faults), struck)} strikes recovery and lateness were not "
        f"measured: the machine was too busy{beside}."
    )


def sum_checks(run: Run) -> str:
    """How many counts add up, in a sentence; empty where none struck."""
    failures = run.table("failures")
    if failures.empty:
        return ""
    good = int(failures["sum_ok"].fillna(value=False).sum())
    return (
        f"In {formatting.count_of(good, len(failures))} counts, one for each strike and scenario, the five "
        "classes add up to the accepted jobs."
    )
