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
from reports.data import tables
from reports.data.frames import groups
from reports.data.run import Run, read
from reports.figures import Figure, canvas, dot_strips, labels
from reports.figures.latency import ecdf, percentiles
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
        assert any(digit in figure.n for digit in "0123456789"), figure.slug
        assert "n: " not in figure.caption + figure.notes, figure.slug
        assert figure.raw, figure.slug
        assert all((whole_run / file).is_file() for file in figure.raw), figure.slug
        assert figure.numbers is not None, figure.slug
        assert figure.numbers.rows, figure.slug
        assert figure.command.startswith(("queue-or-task run", "python -m bench run")), figure.slug


def test_a_caption_is_two_lines_and_the_rest_is_folded(whole_drawn: Sections) -> None:
    for figure in every(whole_drawn):
        assert 0 < len(figure.caption) <= 125, figure.slug  # about 62 letters a line
        assert figure.notes, figure.slug


def test_times_on_an_axis_have_their_unit_and_those_below_a_millisecond_are_in_microseconds(
    whole_drawn: Sections,
) -> None:
    caller = next(figure for figure in every(whole_drawn) if figure.slug == "caller-account-setup")
    assert "300 µs" in caller.svg
    assert "1 ms" in caller.svg


def test_a_minus_sign_and_letters_of_any_script_are_drawn_as_they_are() -> None:
    for text in ("\N{MINUS SIGN}21.4 µs", "задачи.письмо", "タスク.送信", "مهمة"):
        assert canvas.plain(text) == text
    assert canvas.plain("a\x00b") == "a?b"


def test_wide_letters_take_two_places_of_a_label() -> None:
    assert canvas.plain("送" * 30, limit=11) == "送" * 5 + "…"
    assert canvas.plain("a" * 30, limit=11) == "a" * 10 + "…"


def test_figures_of_tasks_in_another_script_have_ids_of_their_own_and_text_without_a_warning() -> None:
    names = ("задачи.письмо", "задачи.счёт", "shop.send_mail", "shop.send.mail")
    assert len({canvas.slug("ecdf", name) for name in names}) == len(names)
    assert canvas.slug("ecdf", "account_setup") == "ecdf-account-setup"
    line = dot_strips.line(pd.Series([1.0, 2.0]), name="タスク.送信", side="inprocess", unit=str)
    with figures.drawing():
        drawn = dot_strips.draw([dot_strips.Panel(heading="задача", lines=(line,))])
        svg = canvas.svg(drawn, slug="x", title="t", description="d")
    assert "タスク.送信" in svg
    assert "задача" in svg


def test_an_ecdf_reaches_as_far_as_its_curves_and_says_what_lies_beyond(run: Path) -> None:
    jobs = pd.read_csv(run / "jobs.csv")
    jobs.loc[jobs.index[0], "response_ms"] = 90_000.0
    jobs.to_csv(run / "jobs.csv", index=False)
    table = read(run).table("jobs")
    curves = ecdf.curves(table[table["scenario"] == jobs["scenario"][0]])
    low, high = ecdf.window(curves)
    assert high < 1_000
    assert low < min(float(curve.finished_ms[len(curve.finished_ms) // 2]) for curve in curves) < high
    figure = next(item for item in figures_of("ecdf", run) if "90.0 s" in item.notes)
    assert "lie right of the drawing" in figure.notes


def test_sides_come_in_the_order_of_the_schema_whatever_the_order_of_the_rows() -> None:
    rows = pd.DataFrame(
        {"side": ["inline", "celery-hardened", "x", "inprocess", "celery-stock"], "n": range(5)}
    )
    assert [side for side, _ in groups(rows, "side")] == [
        *("inprocess", "celery-stock", "celery-hardened", "inline"),
        "x",
    ]
    twice = pd.concat([rows.assign(owners=10), rows.assign(owners=1)])
    assert [key for key, _ in groups(twice, "owners", "side")][:2] == [
        (10, "inprocess"),
        (10, "celery-stock"),
    ]


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


def test_load_is_told_in_requests_a_second_and_once_how_many_jobs_a_request_makes(run: Path) -> None:
    sides = ("inprocess", "celery-hardened")
    rows = [{"block": s, "side": s, "capacity_per_s": 80, "capacity_jobs_per_s": 120} for s in sides]
    plant(run, "capacity", rows)
    (found,) = figures_of("capacity", run)
    assert "requests done a second" in found.svg
    assert "80/s" in found.svg
    assert "120/s" not in found.svg
    assert "A request makes 1.5 jobs on average." in found.notes
    assert "when more came than it could do" in found.caption
    assert all("jobs a second" not in figure.notes + figure.caption for figure in figures_of("load", run))


def test_the_table_of_responsiveness_has_the_medians_that_are_drawn(run: Path) -> None:
    shared = {"side": "inprocess", "place": "loop", "metric": "request", "quantile": 0.9}
    plant(
        run,
        "hog_latency",
        [
            {"block": block, "scenario": scenario, "value_ms": ms, "hogs": hogs, **shared}
            for block, add in (("h0", 0), ("h1", 2))
            for scenario, calm, busy in (("account_setup", 20, 200), ("welcome_email", 40, 900))
            for hogs, ms in ((0, calm + add), (5, busy + add))
        ],
    )
    (found,) = figures_of("hogs", run)
    assert "201 ms" in found.svg
    assert found.numbers is not None
    cells = {row[0]: row[1:3] for row in found.numbers.rows}
    assert cells["in-process, on the loop: HTTP request of account set-up p90"] == ("21.0 ms", "201 ms")
    assert cells["in-process, on the loop: HTTP request of welcome e-mail p90"] == ("41.0 ms", "901 ms")


def test_a_table_of_many_owners_says_of_how_many_the_ticks_are(run: Path) -> None:
    plant(
        run,
        "owners",
        [
            {"block": "o", "side": "inprocess", "policy": "anchored", "owners": 100_000, "noted": 2_000}
            | {"ticks_due": 4_000, "ticks_run": 4_000, "missed": 0}
        ],
    )
    (found,) = figures_of("owners", run)
    assert found.numbers is not None
    cells = dict(zip(found.numbers.columns, found.numbers.rows[0], strict=True))
    assert (cells["owners noted"], cells["ticks run"]) == ("2,000", "4,000 of 4,000")
    assert "the sample's" in found.notes


def test_the_oldest_balance_says_whether_it_is_a_median_or_the_maximum(run: Path) -> None:
    shared = {"side": "inprocess", "policy": "anchored", "age_p99_ms": 1_010}
    plant(
        run,
        "drift",
        [{"block": f"d{n}", "age_max_ms": ms, **shared} for n, ms in enumerate((1_030, 1_034, 1_038))],
    )
    (found,) = figures_of("age", run)
    assert found.numbers is not None
    cells = dict(zip(found.numbers.columns, found.numbers.rows[0], strict=True))
    assert cells["oldest at any moment: median, ms"].startswith("1,034 ms")
    summed = tables.drift(read(run))
    assert summed is not None
    cells = dict(zip(summed.columns, summed.rows[0], strict=True))
    assert cells[f"{tables.headings('drift')['age_max_ms']}, maximum"] == "1,038 ms"


def test_a_forest_says_which_means_its_ratio_and_its_difference_are(run: Path) -> None:
    for found in figures_of("forest", run):
        assert "The ratio is the geometric mean over the pairs" in found.notes
