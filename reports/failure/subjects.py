"""The strikes of a run gathered by fault, scenario and side: what one cell is made of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.data import formatting
from reports.failure.cells import Cell, cell
from reports.failure.excluded import Excluded
from reports.failure.strike_rows import Strike, noted

#: Marks of the notes under the matrix.
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """All strikes of one fault at one side and scenario that count, and their cell."""

    fault: float
    scenario: str
    side: str
    strikes: tuple[Strike, ...]
    cell: Cell
    aimed: bool  # the fault aims at this scenario

    @property
    def name(self) -> str:
        """The fault and the side in plain words."""
        return f"{formatting.fault(self.fault, self.strikes[0]['slug'])}, {formatting.side(self.side)}"


def subjects(failures: Sequence[Strike], excluded: Excluded) -> list[Subject]:
    """Every subject of the table, by fault; a fault without any prediction aims at all its scenarios."""
    marks = notes(failures)
    aimed = _aimed_at(failures)
    found: dict[str, Subject] = {}
    for (fault, scenario, side), strikes in _gathered(failures).items():
        main = (fault, scenario) in aimed
        slug = _slug(f"f{fault:g}-{side}" if main else f"f{fault:g}-{side}-{scenario}", found)
        reasons = excluded.get((fault, side), "") if main else ""
        made = cell(strikes, slug=slug, notes=marks, excluded=reasons)
        found[slug] = Subject(
            fault=fault, scenario=scenario, side=side, strikes=tuple(strikes), cell=made, aimed=main
        )
    return list(found.values())


def notes(failures: Sequence[Strike]) -> dict[str, str]:
    """Each note with its mark, in order."""
    marks = [*LETTERS, *(first + second for first in LETTERS for second in LETTERS)]
    return dict(zip(noted(failures), marks, strict=False))


def _gathered(failures: Sequence[Strike]) -> Mapping[tuple[float, str, str], list[Strike]]:
    found: defaultdict[tuple[float, str, str], list[Strike]] = defaultdict(list)
    for strike in failures:
        found[strike["fault"], strike["scenario"], strike["side"]].append(strike)
    return found


def _aimed_at(failures: Sequence[Strike]) -> set[tuple[float, str]]:
    """The faults with the scenarios that have a prediction; all scenarios of a fault without any."""
    predicted = {(strike["fault"], strike["scenario"]) for strike in failures if strike["predicted"]}
    with_one = {fault for fault, _ in predicted}
    others = {(strike["fault"], strike["scenario"]) for strike in failures if strike["fault"] not in with_one}
    return predicted | others


def _slug(text: str, taken: Mapping[str, object]) -> str:
    """An id that a link can name, whatever the text; a number follows where another has it already."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    names = (plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 2)))
    return next(name for name in names if name not in taken)
