"""The sections of the page under the verdicts: one module each, in the order that a reader asks.

A module has `section(run)`. To add one, write it and name it in `_MODULES`; its figures are named in
`reports.pages.figure_list`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reports.data.run import Run
from reports.pages import cold_start, cost, drift, failure, load, own, owners, responsiveness, validity
from reports.pages import sections as latency
from reports.pages.section import Drawn, Section

__all__ = ["Drawn", "Section", "illustrated", "sections"]

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


def sections(run: Run) -> list[Section]:
    """Every section of this run, without its figures."""
    return [module.section(run) for module in _MODULES]


def illustrated(shown: Iterable[Section], drawn: Drawn) -> list[Section]:
    """The same sections with the figures `drawn` for each."""
    return [replace(section, figures=drawn.get(section.slug, ())) for section in shown]
