from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.data.run import read
from reports.failure.matrix import Matrix, matrix
from tests.reports.page_words import words_of
from tests.reports.synthetic_run import BESIDE, manifest, plant, strike


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run with a manifest and no table at all."""
    manifest(tmp_path)
    return tmp_path


def found(folder: Path, *rows: dict[str, Any]) -> Matrix:
    plant(folder, "failures", rows)
    built = matrix(read(folder))
    assert built is not None
    return built


def test_the_scenario_that_a_fault_aims_at_makes_the_matrix_and_the_other_stands_beside_it(
    bare: Path,
) -> None:
    built = found(bare, strike(), strike(**BESIDE))
    assert [row.scenario for row in built.rows] == ["account set-up"]
    assert [row.scenario for row in built.beside] == ["welcome e-mail"]


def test_a_fault_without_any_prediction_has_all_its_scenarios_in_the_matrix(bare: Path) -> None:
    built = found(bare, strike(predicted=""), strike(**BESIDE))
    assert [row.scenario for row in built.rows] == ["account set-up", "welcome e-mail"]
    assert built.beside == ()


def test_a_loss_beside_the_fault_shows_before_the_table_is_unfolded(bare: Path) -> None:
    built = found(bare, strike(), strike(**BESIDE, lost=2), strike(**BESIDE, side="celery-stock"))
    assert built.beside_summary.endswith("jobs lost or doubled in 1 of 2 cells")
    lost = built.beside[0].cells[0]
    assert lost is not None
    assert [(count.text, count.breaks) for count in lost.classes] == [
        ("8 done once", False),
        ("2 lost", True),
    ]


def test_no_loss_beside_the_fault_is_not_claimed_for_strikes_that_could_not_be_judged(bare: Path) -> None:
    odd = strike(**BESIDE, at_least_once="unknown", at_most_once="unknown")
    assert found(bare, strike(), odd).beside_summary.endswith("1 of 1 cells unknown")


def test_what_a_zero_proves_is_said_once_for_each_number_of_strikes(bare: Path) -> None:
    rows = [strike(side="celery-stock", strike=number) for number in range(5)]
    built = found(bare, *rows, strike(), strike(fault=12))
    assert built.room_left.count("after") == 2
    assert "after 1 strike without a loss, as many as 95 in 100" in built.room_left
    assert "after 5 strikes without a loss, as many as 45 in 100" in built.room_left


def test_nothing_is_said_of_a_zero_where_every_strike_lost_jobs(bare: Path) -> None:
    assert found(bare, strike(lost=3)).room_left == ""


def test_a_note_is_told_once_however_many_cells_it_is_of(bare: Path) -> None:
    rows = (strike(note="one; two"), strike(side="celery-stock", note="two"))
    built = found(bare, *rows)
    assert built.notes == (("a", "one"), ("b", "two"))
    assert [cell.marks for cell in built.rows[0].cells if cell] == ["a b", "b"]


def test_the_letter_of_a_note_stands_in_parentheses(bare: Path) -> None:
    plant(bare, "failures", [strike(note="one")])
    text = words_of(bare)
    assert text.count("<sup>(a)</sup>") == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ((0.2,), "next effect after 200 ms"),
        ((0.2, 1.89, 0.3), "next effect after 1.89 s in the worst strike"),
    ],
)
def test_the_next_effect_of_several_strikes_is_said_to_be_the_worst(
    bare: Path, seconds: tuple[float, ...], text: str
) -> None:
    cell = (
        found(bare, *(strike(strike=at, t_first_s=value) for at, value in enumerate(seconds)))
        .rows[0]
        .cells[0]
    )
    assert cell is not None
    assert cell.recovery == text


def test_a_failed_sum_check_is_told_in_its_cell(bare: Path) -> None:
    plant(bare, "failures", [strike(sum_ok=False), strike(strike=1)])
    assert "sum check fails in 1 of 2 strikes" in words_of(bare)


def test_a_row_names_the_command_that_strikes_again(bare: Path) -> None:
    assert "run --measure fault --fault 10 --profile quick" in found(bare, strike()).rows[0].command


def test_a_side_that_accepted_nothing_is_not_praised_for_losing_nothing(bare: Path) -> None:
    odd = strike(accepted=0, done_once=0, refused=10, at_least_once="unknown", at_most_once="unknown")
    cell = found(bare, odd).rows[0].cells[0]
    assert cell is not None
    assert [judgement.text for judgement in cell.judgements] == ["nothing accepted"]


def test_what_the_checker_saw_and_the_shortest_history_stand_in_the_opened_cell(bare: Path) -> None:
    strikes = [strike(fault=10, lost=1, strike=number, block=f"f{number}") for number in range(3)]
    built = found(bare, *strikes)
    cell = built.rows[0].cells[0]
    assert cell is not None
    opened = built.details[cell.slug]
    assert opened.seen == (
        "in each of 3 strikes: the caller was answered with HTTP 202, the hand-over took 300 ms"
    )
    assert opened.history == "lost u7/crm: submit +0 ms, accepted +2 ms"
    assert opened.history in words_of(bare)


def test_ticks_that_nobody_hands_over_are_not_called_nothing_accepted(bare: Path) -> None:
    zeros = {
        "submitted": 0,
        "accepted": 0,
        "done_once": 0,
        "at_least_once": "unknown",
        "at_most_once": "unknown",
    }
    cell = found(bare, strike(scenario="account_sync", **zeros)).rows[0].cells[0]
    assert cell is not None
    assert [judgement.text for judgement in cell.judgements] == ["no promise to judge"]
