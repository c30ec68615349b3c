"""The sections of the page under the verdicts: one module each, in the order that a reader asks.

A module has `section(run, drawn)`. To add one, write it and name it in `_MODULES`.
"""

from __future__ import annotations

from reports.reading import Run
from reports.sections import (
    cold_start,
    cost,
    drift,
    failure,
    latency,
    load,
    own,
    owners,
    responsiveness,
    validity,
)
from reports.sections.kinds import Drawn, Section

__all__ = ["Drawn", "Section", "sections"]

_MODULES = (
    latency,
    load,
    responsiveness,
    drift,
    owners,
    failure,
    cost,
    cold_start,
    validity,
    own,
)


def sections(run: Run, drawn: Drawn) -> list[Section]:
    """Every section of this run, with the figures `drawn` for it."""
    return [module.section(run, drawn) for module in _MODULES]
