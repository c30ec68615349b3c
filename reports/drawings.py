"""Every figure of a run, by the section of the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reports import caches
from reports.reading import Run
from reports.sections.kinds import there

if TYPE_CHECKING:
    from reports.figures import Figure


def drawings(run: Run) -> Mapping[str, tuple[Figure, ...]]:
    """Draw what the run has numbers for; a section without any has no entry or an empty one."""
    with caches.kept_in(run.directory):
        from reports import figures  # matplotlib is slow to import and writes a cache

        with figures.drawing():
            return {
                "latency": (
                    *figures.ecdfs(run),
                    *figures.responses(run),
                    *figures.callers(run),
                    *figures.forests(run),
                ),
                "load": there(figures.capacity(run), figures.ramps(run), *figures.loads(run)),
                "responsiveness": there(figures.hogs(run), figures.host_tax(run)),
                "drift": there(figures.phase(run), figures.age(run)),
                "owners": there(figures.owners(run)),
                "cost": there(figures.eats(run), figures.runs(run), *figures.calls(run)),
                "cold-start": there(figures.cold(run)),
                "own": there(figures.own(run)),
            }
