"""The page of a run as text."""

from __future__ import annotations

from pathlib import Path

from reports.data.run import read
from reports.pages import report
from reports.pages.sections import sections


def words_of(folder: Path) -> str:
    """The page without its figures, which take most of the time; no-break spaces are plain ones."""
    run = read(folder)
    return report.html(run, sections(run)).replace("\N{NO-BREAK SPACE}", " ")
