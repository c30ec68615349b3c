"""A section of the page, and the gaps in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.data.tables import Table
from reports.failure.matrix import Matrix
from reports.verdicts.kinds import Gap

if TYPE_CHECKING:
    from reports.figures import Figure  # imports matplotlib

#: The figures of each section, by its slug.
Drawn = Mapping[str, tuple["Figure", ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page: what it shows, and what is missing, with the command that measures it."""

    slug: str
    title: str
    intro: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    gaps: tuple[Gap, ...] = ()
    matrix: Matrix | None = None


def gaps_of(*checks: tuple[str, bool, str]) -> tuple[Gap, ...]:
    """A gap for each (what, whether it is missing, the command that measures it) that is missing."""
    return tuple(Gap(what=what, command=command) for what, missing, command in checks if missing)


def present(*found: Any) -> tuple[Any, ...]:
    """The items that are not None."""
    return tuple(item for item in found if item is not None)
