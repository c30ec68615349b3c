from __future__ import annotations

import hashlib
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.schema import MICRO, TABLES
from reports import figures
from reports.data.run import Run, read
from reports.figures import Figure, dot_strips, labels
from reports.figures.latency import percentiles
from reports.figures.periodic.phase import missing, moments, policies, steps
from reports.pages.section import Drawn as Sections
from tests.reports.synthetic_run import plant


def one(draw: Callable[[Run], Figure | None]) -> Callable[[Run], list[Figure]]:
    """A function that draws one figure or none, as one that draws a list."""

    def listed(run: Run) -> list[Figure]:
        found = draw(run)
        return [found] if found else []

    return listed


#: What draws, how its slugs begin, and all files that it reads.
DRAWN: dict[str, tuple[Callable[[Run], Sequence[Figure]], tuple[str, ...]]] = {
    "ecdf": (figures.ecdfs, ("jobs.csv", "blocks.csv")),
    "percentiles": (figures.responses, ("jobs.csv", "latency.csv", "blocks.csv")),
    "caller": (figures.callers, ("jobs.csv", "requests.csv", "latency.csv", "blocks.csv")),
    "forest": (figures.forests, ("comparisons.csv", "latency.csv", "blocks.csv")),
    "capacity": (one(figures.capacity), ("capacity.csv", "blocks.csv")),
    "ramps": (one(figures.ramps), ("ramps.csv", "blocks.csv")),
    "load": (figures.loads, ("load_latency.csv", "loads.csv", "blocks.csv")),
    "hogs": (one(figures.hogs), ("hog_latency.csv", "hogs.csv", "blocks.csv")),
    "host-tax": (one(figures.host_tax), ("latency.csv", "blocks.csv")),
    "phase": (one(figures.phase), ("ticks.csv", "drift.csv", "blocks.csv")),
    "age": (one(figures.age), ("drift.csv", "blocks.csv")),
    "owners": (one(figures.owners), ("owners.csv", "blocks.csv")),
    "usage": (one(figures.resource_usage), ("cost.csv", "blocks.csv")),
    "parts": (one(figures.moving_parts), ("cost.csv", "blocks.csv")),
    "calls": (figures.call_costs, (MICRO,)),
    "cold-start": (one(figures.cold_starts), ("cold.csv", "blocks.csv")),
    "own": (one(figures.harness_share), ("own.csv", "blocks.csv")),
}
#: Files without which a figure is drawn all the same, beside blocks.csv, which tells what does not count.
SPARED = {
    *(("forest", "latency.csv"), ("percentiles", "latency.csv"), ("caller", "latency.csv")),
    *(("caller", "requests.csv"), ("load", "loads.csv"), ("hogs", "hogs.csv"), ("phase", "drift.csv")),
}
FILES = (*(f"{name}.csv" for name in TABLES), MICRO)


def figures_of(name: str, run: Path) -> list[Figure]:
    with figures.drawing():
        return list(DRAWN[name][0](read(run)))


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_from_its_own_files_alone(run: Path, whole_drawn: Sections, name: str) -> None:
    for file in set(FILES) - set(DRAWN[name][1]):
        (run / file).unlink()
    slugs = {item.slug for item in figures_of(name, run)}
    of_whole = [item for section in whole_drawn.values() for item in section if item.slug in slugs]
    assert of_whole
    assert figures_of(name, run) == of_whole


@pytest.mark.parametrize(
    ("name", "file"),
    [(name, file) for name, (_, own) in DRAWN.items() for file in own if file != "blocks.csv"],
)
def test_a_figure_without_one_of_its_files_is_drawn_only_where_the_file_can_be_spared(
    run: Path, name: str, file: str
) -> None:
    (run / file).unlink()
    assert bool(figures_of(name, run)) == ((name, file) in SPARED)


def every(whole_drawn: Sections) -> list[Figure]:
    return [figure for section in whole_drawn.values() for figure in section]


def test_every_kind_of_figure_is_drawn(whole_drawn: Sections) -> None:
    slugs = [figure.slug for figure in every(whole_drawn)]
    assert [name for name in DRAWN if not any(slug.startswith(name) for slug in slugs)] == []
    assert len(slugs) == len(set(slugs))


def test_every_figure_tells_its_n_its_rows_and_its_command(whole_run: Path, whole_drawn: Sections) -> None:
    for figure in every(whole_drawn):
        assert any(mark in figure.caption for mark in ("n: ", "(n beside it)", "rounds")), figure.slug
        assert figure.raw, figure.slug
        assert all((whole_run / file).is_file() for file in figure.raw), figure.slug
        assert figure.numbers is not None, figure.slug
        assert figure.numbers.rows, figure.slug
        assert figure.command.startswith(("queue-or-task run", "python -m bench run")), figure.slug


def test_every_picture_has_its_own_title_and_description(whole_drawn: Sections) -> None:
    for figure in every(whole_drawn):
        assert f'aria-labelledby="{figure.slug}-name {figure.slug}-desc"' in figure.svg
        assert f'<title id="{figure.slug}-name">' in figure.svg
        assert "<text" in figure.svg  # text stays text
        assert "mathdefault" not in figure.svg  # a label that matplotlib would have typeset


def test_a_single_block_draws_without_a_warning(run: Path) -> None:
    for table in TABLES:
        frame = pd.read_csv(run / f"{table}.csv")
        if table not in {"blocks", "comparisons"} and len(frame):
            frame[frame["block"] == frame["block"].iloc[0]].to_csv(run / f"{table}.csv", index=False)
    assert [name for name in DRAWN if not figures_of(name, run)] == []


RENDER = "import sys, pathlib, reports; print(reports.render(pathlib.Path(sys.argv[1])))"


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_whatever_the_seed_of_the_hashes(run: Path, tmp_path: Path) -> None:
    digests = []
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", RENDER, str(run)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
        )
        report = shutil.copy(run / "report.html", tmp_path / f"{seed}.html")
        digests.append(hashlib.sha256(Path(report).read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_a_line_of_percentiles_ends_at_the_highest_that_its_jobs_may_speak_of() -> None:
    points = percentiles.line(np.arange(1.0, 101.0))
    assert points[-1][0] == pytest.approx(percentiles.place(0.95))
    assert percentiles.line(np.arange(1.0, 6.0)) == ()


def test_a_line_of_percentiles_ends_where_jobs_were_not_finished() -> None:
    values = np.append(np.full(90, 20.0), np.full(10, math.inf))
    assert percentiles.line(values)[-1][0] < percentiles.place(0.92)


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.01, 0.3))
def test_names_beside_lines_keep_their_order_and_their_distance(places: list[float], gap: float) -> None:
    moved = labels.spread(sorted(places), gap)
    assert all(after - before >= gap - 1e-9 for before, after in pairwise(moved))
    assert all(0 <= place <= max(1.0, gap * len(places)) + 1e-9 for place in moved)


def ticks(phases_ms: Sequence[float], *, left_out: Sequence[int] = ()) -> list[dict[str, object]]:
    names = {"block": "d00", "side": "celery-stock", "policy": "beat", "owner": "o"}
    return [
        {**names, "tick": tick, "due_ns": tick * 1e9, "phase_ms": ms, "duplicate": False}
        for tick, ms in enumerate(phases_ms)
        if tick not in left_out
    ]


def test_a_tick_that_never_ran_and_a_step_of_the_phase_are_marked_where_they_happened(run: Path) -> None:
    plant(run, "ticks", ticks([5.0] * 10 + [305.0] * 10, left_out=[4]))
    (policy,) = policies(read(run))
    assert missing(policy.ticks) == [4.0]
    assert steps(moments(policy.ticks)) == {10.0: 300.0}


def test_dots_that_would_lie_on_each_other_are_drawn_once() -> None:
    assert (
        len(dot_strips.apart([n / 1000 for n in range(1000)], 0.0, 1.0, log=False))
        <= dot_strips.DOTS_ACROSS + 1
    )
    assert dot_strips.apart([1.0, 10.0, 100.0, 100.01], 1.0, 1000.0, log=True) == [1.0, 10.0, 100.01]
    assert dot_strips.apart([], 0.0, 1.0, log=False) == []
