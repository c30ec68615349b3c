"""Every figure of a run, by the section of the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from reports import caches
from reports.reading import Run
from reports.sections.kinds import there

if TYPE_CHECKING:
    from reports.figures import Figure

#: The sections of the page that have figures; the first takes about as long to draw as all others.
SECTIONS = ("latency", "load", "responsiveness", "drift", "owners", "cost", "cold-start", "own")


def drawings(run: Run, sections: Collection[str] = SECTIONS) -> Mapping[str, tuple[Figure, ...]]:
    """Draw what the run has numbers for in these sections; one without any has an empty entry."""
    with caches.kept_in(run.directory):
        from reports import figures  # matplotlib is slow to import and writes a cache

        with figures.drawing():
            return {name: draw(run) for name, draw in _makers(figures).items() if name in sections}


def _makers(figures: ModuleType) -> Mapping[str, Callable[[Run], tuple[Figure, ...]]]:
    return {
        "latency": lambda run: (
            *figures.ecdfs(run),
            *figures.responses(run),
            *figures.callers(run),
            *figures.forests(run),
        ),
        "load": lambda run: there(figures.capacity(run), figures.ramps(run), *figures.loads(run)),
        "responsiveness": lambda run: there(figures.hogs(run), figures.host_tax(run)),
        "drift": lambda run: there(figures.phase(run), figures.age(run)),
        "owners": lambda run: there(figures.owners(run)),
        "cost": lambda run: there(figures.eats(run), figures.runs(run), *figures.calls(run)),
        "cold-start": lambda run: there(figures.cold(run)),
        "own": lambda run: there(figures.own(run)),
    }
