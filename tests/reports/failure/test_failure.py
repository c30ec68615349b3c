"""What the cells of the failure matrix open to, and what is told before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.data.run import read
from reports.failure import detail as opening
from reports.failure.detail import Detail
from reports.failure.matrix import Matrix, matrix
from tests.reports.page_words import words_of
from tests.reports.synthetic_events import event, fate, struck, write
from tests.reports.synthetic_events import strike as struck_at
from tests.reports.synthetic_run import BESIDE, manifest, plant, strike

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run with a manifest and no table at all."""
    manifest(tmp_path)
    return tmp_path


def found(folder: Path, *rows: dict[str, Any], **tables: list[dict[str, Any]]) -> Matrix:
    for table, planted in {"failures": list(rows), **tables}.items():
        plant(folder, table, planted)
    built = matrix(read(folder))
    assert built is not None
    return built


def only(built: Matrix) -> Detail:
    [opened] = built.details.values()
    return opened


def fact(opened: Detail, name: str) -> str:
    return dict(opened.facts)[name]


def test_a_prediction_that_did_not_hold_is_told_before_the_matrix_with_a_link_to_its_cell(bare: Path) -> None:
    missed = strike(as_predicted="no", stuck=2, done_once=8, seen="handover s 0.3", predicted="all safe")
    [failed] = found(bare, missed, strike(side="celery-stock")).failed
    assert (failed.subject, failed.slug) == ("10 kill -9 of the app, in-process", "f10-inprocess")
    assert (failed.predicted, failed.seen) == ("all safe", "8 done once, 2 stuck; the hand-over took 300 ms")
    text = words_of(bare)
    assert text.index('<a href="#f10-inprocess">') < text.index("Failure matrix")
    assert 'id="f10-inprocess"' in text


def test_a_prediction_that_held_in_some_strikes_is_told_with_their_number(bare: Path) -> None:
    rows = [strike(strike=number, as_predicted="no" if number < 2 else "yes") for number in range(5)]
    built = found(bare, *rows)
    assert built.failed[0].strikes == "in 2 of 5 strikes"
    cell = built.rows[0].cells[0]
    assert cell is not None
    assert (cell.prediction.symbol, cell.prediction.text) == ("≈", "as predicted in 3 of 5 strikes")


def test_a_run_whose_predictions_held_says_how_many_were_compared(bare: Path) -> None:
    found(bare, strike(), strike(fault=12), strike(**BESIDE))
    assert "All 2 that were compared held." in words_of(bare)


def test_losses_are_told_a_strike_and_an_exposed_job(bare: Path) -> None:
    rows = [strike(strike=number, lost=lost) for number, lost in enumerate((3, 0, 1, 0, 0))]
    told = fact(only(found(bare, *rows)), "exposure")
    assert told == "4 of 50 exposed jobs lost (8 %), 0.800 a strike, in 2 of 5 strikes"


def test_a_zero_is_told_with_what_it_still_allows(bare: Path) -> None:
    told = fact(only(found(bare, *(strike(strike=number) for number in range(5)))), "exposure")
    assert told.startswith("none of 50 exposed jobs lost; after 5 strikes without a loss, up to 45 %")


def test_a_cell_none_of_whose_strikes_exposed_a_job_says_so(bare: Path) -> None:
    row = strike(at_least_once="unknown")
    told = fact(only(found(bare, row, exposure=[row | {"exposed": 0}])), "exposure")
    assert told == "not exposed: at no strike was a job accepted and not done"


def test_a_strike_that_exposed_no_job_is_not_among_those_that_lost_none(bare: Path) -> None:
    rows = [strike(strike=number, block=f"f10-{number}-inprocess") for number in range(5)]
    exposed = [row | {"exposed": 10 if number else 0} for number, row in enumerate(rows)]
    told = fact(only(found(bare, *rows, exposure=exposed)), "exposure")
    assert told.startswith("none of 40 exposed jobs lost; after 4 strikes without a loss, up to 53 %")


def test_recovery_is_the_median_with_its_range_and_says_what_cannot_be_told(bare: Path) -> None:
    rows = [
        strike(strike=number, t_first_s=seconds, t_90_s="") for number, seconds in enumerate((0.2, 0.4, 9))
    ]
    told = fact(only(found(bare, *rows)), "recovery")
    assert "next effect: median 400 ms (200 ms to 9.00 s); 90 % of the rate: cannot be told" in told


def test_users_errors_and_the_longest_call_are_told(bare: Path) -> None:
    rows = (strike(user_errors=4, refused=3, unknown=2, caller_max_ms=12_000), strike(strike=1))
    told = fact(only(found(bare, *rows)), "user-visible errors")
    assert told == (
        "4 of 20 submits of account set-up refused or kept waiting for more than 1 s, 3 of them refused; "
        "2 unknown to the caller, counted only if it waited so long; longest call 12.0 s"
    )


def test_the_blast_radius_is_the_worst_strike_s_against_the_control_run(bare: Path) -> None:
    place = {"block": "f001", "fault": 10, "side": "inprocess", "scenario": "welcome_email"}
    blast = [
        {**place, "lost": 0.4, "late": 0.0, "response_p50_ms": -2, "lag_ms": 30},
        {**place, "lost": 0.1, "late": 0.0, "response_p50_ms": 5, "lag_ms": ""},
    ]
    mails = [strike(**BESIDE, submitted=jobs, strike=number) for number, jobs in enumerate((4, 6))]
    opened = found(bare, strike(), *mails, blast=blast, controls=[strike(late=1)]).details["f10-inprocess"]
    assert fact(opened, "blast radius") == (
        "welcome e-mail (4 to 6 jobs a strike), at worst, in percentage points: 40 more lost; "
        "median response 5.00 ms longer, longest lag of the loop 30.0 ms longer"
    )


def test_times_that_a_busy_machine_left_out_are_told_with_the_reason_and_the_command(bare: Path) -> None:
    timeless = {"t_first_s": "", "t_90_s": "", "t_clear_s": "", "late": "", "caller_max_ms": ""}
    plant(bare, "blocks", [{"block": "f001", "measure": "fault", "untimed": "hiccups of 23.1 ms at p99"}])
    built = found(bare, strike(**timeless))
    assert fact(only(built), "recovery") == (
        "not measured in 1 of 1 strike, as the machine was too busy (hiccups of 23.1 ms at p99)"
    )
    assert "longest call" not in fact(only(built), "user-visible errors")
    assert built.untimed.startswith("In 1 of 1 strikes recovery and lateness were not measured")
    text = words_of(bare)
    assert "--measure fault --fault 10" in text
    assert "all 10 done once, lateness not measured" in text


def test_the_control_run_stands_beside_and_its_absence_is_told(bare: Path) -> None:
    assert fact(only(found(bare, strike(lost=2))), "without the fault") == "no control run"
    with_control = found(bare, strike(lost=2), controls=[strike(late=1)])
    assert fact(only(with_control), "without the fault") == "10 done once, 1 late"


def test_the_worst_strike_is_drawn(bare: Path) -> None:
    rows = [
        strike(strike=0, block="f10-0-inprocess", stuck=9),
        strike(strike=1, block="f10-1-inprocess", lost=1),
        strike(strike=2, block="f10-2-inprocess", late=10),
    ]
    write(bare, struck(lost=1), "f10-1-inprocess")
    opened = only(found(bare, *rows))
    assert opened.log == "events-f10-1-inprocess.jsonl"
    assert opened.svg is not None
    assert "The worst of 3 strikes, number 1." in opened.caption


def test_a_strike_that_was_not_as_predicted_is_drawn_before_its_equals(bare: Path) -> None:
    rows = [strike(strike=number, block=f"f10-{number}-inprocess", as_predicted=said) for number, said in
            enumerate(("yes", "no", "yes"))]  # fmt: skip
    assert only(found(bare, *rows)).log == "events-f10-1-inprocess.jsonl"


def test_without_an_example_in_the_table_the_history_is_told_from_the_log(bare: Path) -> None:
    write(bare, struck(lost=1))
    opened = only(found(bare, strike(block="f10-0-inprocess", failed_visibly=1)))
    assert opened.history.startswith("lost 0 crm: submit +0 ms, accepted +10 ms")


def test_an_absent_log_is_told_in_its_cell(bare: Path) -> None:
    write(bare, struck(lost=1), "f10-1-inprocess")
    built = found(bare, strike(block="f10-0-inprocess"), strike(block="f10-1-inprocess", side="celery-stock"))
    opened = built.details["f10-inprocess"]
    assert built.has_events
    assert opened.svg is None
    assert opened.problem == "No timeline: events-f10-0-inprocess.jsonl is not in the run directory."


def test_a_run_without_event_logs_says_so_once_above_the_matrix(bare: Path) -> None:
    built = found(bare, strike(block="f10-0-inprocess"), strike(block="f12-0-inprocess", fault=12))
    assert not built.has_events
    text = words_of(bare)
    assert text.count("No timelines: this run directory has no event log of a strike") == 1
    assert "No timeline:" not in text
    assert "All events:" not in text


TICKS_OF_FIVE = (
    "ticks due 58; missed 10; duplicates 0; bursts 2; age max ms 6560; step ms -6.155; step repaid",
    "ticks due 64; missed 12; duplicates 0; bursts 0; age max ms 7309; step ms 130.8; step permanent",
    "ticks due 60; missed 10; duplicates 0; bursts 2; age max ms 6970; step ms -7.813; step repaid",
    "ticks due 62; missed 14; duplicates 0; bursts 0; age max ms 8281; step ms 51.24; step repaid",
    "ticks due 60; missed 14; duplicates 0; bursts 0; age max ms 8061; step ms -70.6; step permanent",
)  # fault 28 of docs/example


def test_matrix_details_predictions_and_heat_map_tell_the_same_sums_over_all_strikes(bare: Path) -> None:
    zeros = {"accepted": 0, "done_once": 0, "at_least_once": "unknown", "at_most_once": "unknown"}
    rows = [
        strike(scenario="account_sync", fault=28, strike=at, seen=seen, as_predicted=said, **zeros)
        for at, (seen, said) in enumerate(zip(TICKS_OF_FIVE, ("yes", "no", "yes", "no", "no"), strict=True))
    ]
    built = found(bare, *rows)
    cell = built.rows[0].cells[0]
    assert cell is not None
    assert cell.checked == only(built).seen
    assert cell.checked == (
        "over 5 strikes: 304 ticks due, 60 missed, none doubled, 4 twice within half an interval, the "
        "balance at most 8.28 s old, largest step of the phase 131 ms, after which the phase came back "
        "in 3 of 5 strikes, and the phase stayed moved in 2 of 5 strikes"
    )
    assert cell.outcome.text == "60 of 304 ticks missed, 4 twice within half an interval"
    assert built.failed[0].seen.startswith("over 3 strikes: 186 ticks due, 40 missed, none doubled")
    assert "Seen in the strikes that went otherwise: over 3 strikes: 186 ticks due" in words_of(bare)


def test_a_log_cut_in_mid_line_is_drawn_and_told(bare: Path) -> None:
    path = write(bare, struck(lost=1))
    path.write_bytes(path.read_bytes()[:-9])
    opened = only(found(bare, strike(block="f10-0-inprocess")))
    assert opened.svg is not None
    assert "1 of 49 lines cannot be read" in opened.problem


def test_the_budget_of_bytes_goes_to_the_gravest_and_the_others_say_so(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        strike(fault=fault, block=f"f{fault}-0-inprocess", lost=lost) for fault, lost in ((1, 0), (12, 3))
    ]
    for row in rows:
        write(bare, struck(row["lost"]), row["block"])
    one = len(found(bare, *rows).details["f12-inprocess"].svg or "")
    monkeypatch.setattr(opening, "BUDGET_BYTES", one)
    built = found(bare, *rows)
    assert built.details["f12-inprocess"].svg is not None
    assert built.details["f1-inprocess"].svg is None
    assert "too large to send" in built.details["f1-inprocess"].problem


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1", "many"])
def test_counts_that_are_no_numbers_leave_the_page_whole(bare: Path, value: str) -> None:
    numbers = ("lost", "stuck", "accepted", "user_errors", "caller_max_ms", "t_90_s", "strike")
    plant(bare, "failures", [strike() | dict.fromkeys(numbers, value), strike(strike=1)])
    assert "Failure matrix" in words_of(bare)


def test_a_strike_that_does_not_count_is_told_in_its_cell_with_the_reason(bare: Path) -> None:
    blocks = [
        {
            "block": "f10-0-inprocess",
            "measure": "fault",
            "side": "inprocess",
            "valid": False,
            "reason": "steal",
            "fault": 10,
            "control": False,
        },
        {"block": "f10-1-inprocess", "measure": "fault", "side": "inprocess", "valid": True},
    ]
    rows = [strike(block=f"f10-{number}-inprocess", strike=number) for number in range(2)]
    cell = found(bare, *rows, blocks=blocks).rows[0].cells[0]
    assert cell is not None
    assert (cell.accepted, cell.excluded) == ("10 accepted", "1 strike left out: steal")


def test_a_fault_that_could_not_be_made_has_a_row_that_says_why(bare: Path) -> None:
    absent = {
        "measure": "fault",
        "side": "celery-stock",
        "valid": False,
        "reason": "no rabbitmq-server on PATH",
        "fault": 37,
        "control": False,
    }
    blocks = [{**absent, "block": f"f37-{number}-celery-stock"} for number in range(2)]
    built = found(bare, strike(), blocks=blocks)
    assert [row.fault for row in built.rows] == ["10 kill -9 of the app", "37 RabbitMQ node restarted"]
    assert built.rows[1].cells == (None, None)
    assert built.rows[1].absent[1] == "2 strikes left out: no rabbitmq-server on PATH"
    assert "no rabbitmq-server on PATH" in words_of(bare)


def test_a_periodic_sync_s_cell_tells_what_its_checker_saw_instead_of_jobs(bare: Path) -> None:
    nothing = {"accepted": 0, "done_once": 0, "at_least_once": "unknown", "at_most_once": "unknown"}
    built = found(bare, strike(scenario="account_sync", fault=28, seen="missed 3; step permanent", **nothing))
    cell = built.rows[0].cells[0]
    assert cell is not None
    assert (cell.accepted, cell.checked) == (
        "ticks, not jobs, in 1 strike",
        "3 missed, and the phase stayed moved",
    )


def test_markup_in_an_error_of_a_job_shows_as_text(bare: Path) -> None:
    submitted = fate("7/crm", 1, "lost")
    failed = [event("failed", 3, "7/crm", where=HOSTILE, error=HOSTILE)]
    write(bare, [*submitted, *failed, *struck_at()])
    plant(bare, "failures", [strike(block="f10-0-inprocess", example=HOSTILE, seen=HOSTILE)])
    text = words_of(bare)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; (1 job)" in text
