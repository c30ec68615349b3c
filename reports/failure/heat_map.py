"""The heat map of the first screen: each fault at each side as one mark, by colour and by shape.

A mark says the gravest of what happened over all strikes of a cell of the failure matrix. The inline
control, which is no choice, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.data import formatting
from reports.failure.cells import Cell, Kind
from reports.failure.matrix import Matrix, Row

#: Each kind with its shape and what it means, gravest first.
KINDS: dict[Kind | Literal["absent"], tuple[str, str]] = {
    "lost": ("\N{BALLOT X}", "lost accepted jobs"),
    "doubled": ("\N{BLACK DIAMOND}", "did some jobs or ticks twice"),
    "unknown": ("?", "cannot be told"),
    "disturbed": (
        "\N{BLACK UP-POINTING TRIANGLE}",
        (
            "lost none; some late, refused, stuck, failed visibly, unknown to the caller, ghost, "
            "unexpected or out of order; ticks missed or moved"
        ),
    ),
    "kept": ("\N{CHECK MARK}", "all done once, in time"),
    "absent": ("\N{MIDDLE DOT}", "not struck"),
}
#: The side that nobody takes.
CONTROL = formatting.side("inline")
#: Columns of the drawing on a wide screen; the rows are shared out over them.
COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One fault at one side; `heat` is the share of jobs that the gravest finding is of, 0 to 1."""

    kind: Kind | Literal["absent"]
    text: str
    heat: float = 0.0

    @property
    def symbol(self) -> str:
        """The shape, which needs no colour."""
        return KINDS[self.kind][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One fault over the sides, with the id of its row in the matrix."""

    number: str
    name: str
    scenario: str
    slug: str
    marks: tuple[Mark, ...]

    @property
    def calm(self) -> bool:
        """Whether no side lost, doubled or delayed anything."""
        return all(mark.kind in {"kept", "absent"} for mark in self.marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """The lines in columns, the sides, and the key to the marks that occur."""

    sides: tuple[str, ...]
    columns: tuple[tuple[Line, ...], ...]
    key: tuple[tuple[str, str, str], ...]

    @property
    def calm(self) -> int:
        """Faults that harmed no side."""
        return sum(line.calm for column in self.columns for line in column)


def heat_map(matrix: Matrix) -> HeatMap:
    """The map of all rows of the matrix, in its order."""
    taken = [place for place, side in enumerate(matrix.sides) if side != CONTROL]
    lines = [_line(row, taken) for row in matrix.rows]
    height = -(-len(lines) // COLUMNS)
    columns = [tuple(lines[start : start + height]) for start in range(0, len(lines), max(1, height))]
    used = {mark.kind for line in lines for mark in line.marks}
    return HeatMap(
        sides=tuple(matrix.sides[place] for place in taken),
        columns=tuple(columns),
        key=tuple(
            (kind, symbol or "\N{NO-BREAK SPACE}", text)
            for kind, (symbol, text) in KINDS.items()
            if kind in used
        ),
    )


def _line(row: Row, taken: Sequence[int]) -> Line:
    number, _, name = row.fault.partition(" ")
    return Line(
        number=number,
        name=name or row.fault,
        scenario=row.scenario,
        slug=row.slug,
        marks=tuple(
            _mark(cell) if (cell := row.cells[place]) else Mark(kind="absent", text=row.absent[place])
            for place in taken
        ),
    )


def _mark(cell: Cell) -> Mark:
    return Mark(kind=cell.outcome.kind, text=cell.outcome.text, heat=round(cell.outcome.share, 2))
