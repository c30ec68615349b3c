"""The heat map of the first screen, and which rows of the matrix are folded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.schema import SCHEMA
from reports.data.run import read
from reports.failure.heat_map import COLUMNS, KINDS, HeatMap, Mark, heat_map
from reports.failure.matrix import Matrix, matrix
from tests.reports.page_words import words_of
from tests.reports.synthetic_run import manifest, plant, strike

TICKS = {
    "scenario": "account_sync",
    "accepted": 0,
    "done_once": 0,
    "at_least_once": "unknown",
    "at_most_once": "unknown",
}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run with a manifest and no table at all."""
    manifest(tmp_path)
    return tmp_path


def built(folder: Path, *rows: dict[str, Any], **tables: list[dict[str, Any]]) -> Matrix:
    for table, planted in {"failures": list(rows), **tables}.items():
        plant(folder, table, planted)
    made = matrix(read(folder))
    assert made is not None
    return made


def drawn(folder: Path, *rows: dict[str, Any]) -> HeatMap:
    return heat_map(built(folder, *rows))


def mark(folder: Path, *rows: dict[str, Any]) -> Mark:
    return drawn(folder, *rows).columns[0][0].marks[0]


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({}, "kept", "all 10 done once, in time"),
        ({"lost": 2, "duplicated": 1, "late": 3}, "lost", "2 of 10 lost"),
        ({"duplicated": 1, "late": 3}, "doubled", "1 of 10 done twice"),
        ({"late": 3, "stuck": 1}, "disturbed", "1 stuck, 3 late"),
        ({"at_least_once": "unknown"}, "unknown", "cannot be told"),
        (
            {"accepted": 0, "done_once": 0, "refused": 10, "at_least_once": "unknown"},
            "disturbed",
            "10 refused",
        ),
        (TICKS | {"seen": "ticks due 58; missed 0; duplicates 0; bursts 0"}, "kept", "all 58 ticks ran once"),
        (
            TICKS | {"seen": "ticks due 58; missed 0; duplicates 7; bursts 7"},
            "doubled",
            "7 ticks doubled, 7 twice within half an interval",
        ),
        (
            TICKS | {"seen": "ticks due 58; missed 4; duplicates 1"},
            "doubled",
            "1 tick doubled, 4 of 58 ticks missed",
        ),
        ({"lost": 2, "stuck": 3}, "lost", "2 of 10 lost, 3 stuck"),
        ({"at_least_once": "unknown", "stuck": 3}, "unknown", "cannot be told, 3 stuck"),
        (TICKS | {"seen": "ticks due 58; missed 4; duplicates 0"}, "disturbed", "4 of 58 ticks missed"),
        (TICKS | {"seen": "step permanent"}, "disturbed", "the phase stayed moved"),
        (TICKS | {"seen": ""}, "unknown", "not recorded"),
    ],
)
def test_a_mark_is_the_gravest_of_what_happened(
    bare: Path, fields: dict[str, Any], kind: str, text: str
) -> None:
    found = mark(bare, strike(**fields))
    assert (found.kind, found.text) == (kind, text)


def test_a_mark_is_darker_the_larger_the_share_of_jobs(bare: Path) -> None:
    assert mark(bare, strike(lost=2)).heat == 0.2
    assert mark(bare, strike(lost=10)).heat == 1.0


def test_every_kind_of_mark_has_a_shape_of_its_own() -> None:
    shapes = [symbol for symbol, _ in KINDS.values()]
    assert len(set(shapes)) == len(shapes)


def test_the_phase_that_stayed_moved_is_told_with_its_strikes(bare: Path) -> None:
    rows = [
        strike(**TICKS, strike=at, seen=seen) for at, seen in enumerate(("step permanent", "step repaid"))
    ]
    assert mark(bare, *rows).text == "the phase stayed moved in 1 of 2 strikes"


def test_the_legend_names_all_that_its_mark_of_disturbed_jobs_covers() -> None:
    labels = SCHEMA["failures"].labels(
        "stuck", "failed_visibly", "refused", "unknown", "late", "ghost", "unexpected", "out_of_order"
    )
    assert all(label in KINDS["disturbed"][1] for label in labels.values())
    assert "ticks missed" in KINDS["disturbed"][1]


def test_the_control_is_left_out_and_a_side_that_was_not_struck_is_a_dot(bare: Path) -> None:
    found = drawn(bare, strike(side="inline"), strike(side="celery-stock"), strike(fault=12))
    assert found.sides == ("in-process", "stock Celery")
    assert [line.marks[0].kind for column in found.columns for line in column] == ["absent", "kept"]


def test_all_faults_stand_in_the_columns_in_their_order(bare: Path) -> None:
    found = drawn(bare, *(strike(fault=fault) for fault in range(1, 39)))
    assert len(found.columns) == COLUMNS
    assert [line.number for column in found.columns for line in column] == [str(n) for n in range(1, 39)]


def test_a_line_leads_to_its_row_of_the_matrix_also_where_that_is_folded(bare: Path) -> None:
    built(bare, strike(fault=10, lost=1), strike(fault=12), strike(fault=12, scenario="welcome_email"))
    text = words_of(bare)
    for slug in ("fault-10", "fault-12", "fault-12-of-2"):
        assert text.count(f'href="#{slug}"') == text.count(f'id="{slug}"') == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"lost": 1},
        {"duplicated": 1},
        {"as_predicted": "no"},
        {"at_least_once": "unknown"},
        {"sum_ok": False},
    ],
)
def test_what_broke_or_went_otherwise_is_open_and_the_rest_is_folded(
    bare: Path, fields: dict[str, Any]
) -> None:
    made = built(bare, strike(fault=12), strike(**fields), strike(fault=13, late=10))
    assert [row.slug for row in made.broke] == ["fault-10"]
    assert [row.slug for row in made.kept] == ["fault-12", "fault-13"]
    text = words_of(bare)
    folded = text.index("2 faults at which every side did what it promises, as predicted")
    assert text.index('id="fault-10"') < folded < text.index('id="fault-12"')
