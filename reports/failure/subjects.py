"""The strikes of a run gathered by fault, scenario and side: what one cell is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from reports import words
from reports.failure.cells import Cell, cell, noted
from reports.failure.left_out import LeftOut
from reports.frames import groups

#: Marks of the notes under the matrix.
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """All strikes of one fault at one side and scenario that count, and the cell that tells of them."""

    fault: float
    scenario: str
    side: str
    strikes: pd.DataFrame
    cell: Cell
    aimed: bool  # the fault aims at this scenario

    @property
    def name(self) -> str:
        """The fault and the side in plain words."""
        return f"{words.fault(self.fault, self.strikes['slug'].iloc[0])}, {words.side(self.side)}"


def subjects(failures: pd.DataFrame, left_out: LeftOut) -> list[Subject]:
    """Every subject of the table, by fault; a fault without any prediction aims at all its scenarios."""
    marks = notes(failures)
    aimed = _aimed_at(failures)
    found: dict[str, Subject] = {}
    for (fault, scenario, side), strikes in groups(failures, "fault", "scenario", "side"):
        main = (fault, scenario) in aimed
        slug = _slug(f"f{fault:g}-{side}" if main else f"f{fault:g}-{side}-{scenario}", found)
        told = left_out.get((fault, side), "") if main else ""
        shown = cell(strikes, slug=slug, notes=marks, left_out=told)
        found[slug] = Subject(
            fault=fault, scenario=scenario, side=side, strikes=strikes, cell=shown, aimed=main
        )
    return list(found.values())


def notes(failures: pd.DataFrame) -> dict[str, str]:
    """Each note with its mark, in order."""
    marks = [*LETTERS, *(first + second for first in LETTERS for second in LETTERS)]
    return dict(zip(noted(failures["note"]), marks, strict=False))


def _aimed_at(failures: pd.DataFrame) -> set[tuple[float, str]]:
    """The faults with the scenarios that have a prediction; all scenarios of a fault without any."""
    aimed: set[tuple[float, str]] = set()
    for fault, group in groups(failures, "fault"):
        predicted = group[group["predicted"] != ""]
        aimed |= {(fault, scenario) for scenario in (predicted if len(predicted) else group)["scenario"]}
    return aimed


def _slug(text: str, taken: Mapping[str, object]) -> str:
    """An id that a link can name, whatever the text; a number follows where another has it already."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    names = (plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 2)))
    return next(name for name in names if name not in taken)
