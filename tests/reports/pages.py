"""The page of a run as text."""

from __future__ import annotations

from pathlib import Path

from reports import page
from reports.reading import read
from reports.sections import sections


def words_of(folder: Path) -> str:
    """The page without its figures, which take most of the time."""
    run = read(folder)
    return page.html(run, sections(run))
