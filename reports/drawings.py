"""Every figure of a run, by the section of the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reports import caches
from reports.reading import Run

if TYPE_CHECKING:
    from reports.figures import Figure


def drawings(run: Run) -> Mapping[str, tuple[Figure, ...]]:
    """Draw what the run has numbers for; a section without any has no entry or an empty one."""
    with caches.kept_in(run.directory):
        from reports import figures  # matplotlib is slow to import and writes a cache

        with figures.drawing():
            phase, tax = figures.phase(run), figures.host_tax(run)
            return {
                "latency": (*figures.ecdfs(run), *figures.forests(run)),
                "drift": (phase,) if phase else (),
                "cost": (*((tax,) if tax else ()), *figures.calls(run)),
            }
