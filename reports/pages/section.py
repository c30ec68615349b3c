"""What a section of the page is made of, and how it tells what it lacks."""

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
    """A part of the page: what it shows, and what it lacks with the command that fills it."""

    slug: str
    title: str
    intro: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    gaps: tuple[Gap, ...] = ()
    matrix: Matrix | None = None


def lacking(*checks: tuple[str, bool, str]) -> tuple[Gap, ...]:
    """A gap for each (what, whether it is absent, the command that fills it) that is absent."""
    return tuple(Gap(what=what, command=command) for what, absent, command in checks if absent)


def there(*found: Any) -> tuple[Any, ...]:
    """Those that are not None."""
    return tuple(item for item in found if item is not None)
