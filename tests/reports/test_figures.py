from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.schema import MICRO, TABLES
from reports import figures
from reports.figures import Figure
from reports.page import Drawn
from reports.reading import Run, read


def phase(run: Run) -> list[Figure]:
    found = figures.phase(run)
    return [found] if found else []


def host_tax(run: Run) -> list[Figure]:
    found = figures.host_tax(run)
    return [found] if found else []


#: What draws, how its slugs begin, and all files that it reads.
DRAWN: dict[str, tuple[Callable[[Run], list[Figure]], tuple[str, ...]]] = {
    "ecdf": (figures.ecdfs, ("jobs.csv", "blocks.csv")),
    "forest": (figures.forests, ("comparisons.csv", "latency.csv", "blocks.csv")),
    "phase": (phase, ("ticks.csv", "blocks.csv")),
    "host-tax": (host_tax, ("latency.csv", "blocks.csv")),
    "calls": (figures.calls, (MICRO,)),
}
#: Files without which a figure is still drawn: the blocks tell what does not count, the latencies give dots.
SPARED = {("ecdf", "blocks.csv"), ("forest", "blocks.csv"), ("forest", "latency.csv")}
SPARED |= {("phase", "blocks.csv"), ("host-tax", "blocks.csv")}
FILES = (*(f"{name}.csv" for name in TABLES), MICRO)


def figures_of(name: str, run: Path) -> list[Figure]:
    with figures.drawing():
        return DRAWN[name][0](read(run))


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_from_its_own_files_alone(run: Path, whole_drawn: Drawn, name: str) -> None:
    for file in set(FILES) - set(DRAWN[name][1]):
        (run / file).unlink()
    of_whole = [item for section in whole_drawn.values() for item in section if item.slug.startswith(name)]
    assert of_whole
    assert figures_of(name, run) == of_whole


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, (_, own) in DRAWN.items() for file in own])
def test_a_figure_without_one_of_its_files_is_drawn_only_where_the_file_can_be_spared(
    run: Path, name: str, file: str
) -> None:
    (run / file).unlink()
    assert bool(figures_of(name, run)) == ((name, file) in SPARED)
