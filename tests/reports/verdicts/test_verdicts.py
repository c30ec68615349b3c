from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from reports.data.run import read
from reports.pages import report
from reports.verdicts import Verdict, account_setup, verdicts, welcome_email
from reports.verdicts.kinds import Choice
from tests.reports.synthetic_run import manifest, plant, strike

TASK, JOURNAL, QUEUE = "inprocess", "inprocess-journal", "celery-hardened"
TASK_LABEL, QUEUE_LABEL = "in-process", "hardened Celery"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run with a manifest and no table at all."""
    manifest(tmp_path)
    return tmp_path


def judged(folder: Path, scenario: str) -> Verdict:
    return next(verdict for verdict in verdicts(read(folder)) if verdict.scenario == scenario)


def strikes(
    losses: dict[tuple[str, int], int], *, times: int = 5, **changes: Any
) -> Iterable[dict[str, Any]]:
    for ((side, fault), lost), number in itertools.product(losses.items(), range(times)):
        yield strike(side=side, fault=fault, lost=lost, strike=number, **changes)


def test_a_task_that_loses_jobs_where_the_queue_keeps_them_asks_for_a_queue(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 8, (QUEUE, 10): 0, (QUEUE, 12): 0})))
    verdict = judged(bare, "account_setup")
    assert verdict.choice == "queue"
    assert "in-process lost 40 of 50 accepted jobs at kill -9 of the app" in verdict.sentence
    assert "hardened Celery lost 0 of 50" in verdict.sentence
    assert "A loss you can live with" in verdict.flips[0]


def test_a_journalled_task_that_keeps_every_job_is_taken_before_a_queue(bare: Path) -> None:
    lost = {(TASK, 10): 8, (JOURNAL, 10): 0, (QUEUE, 10): 0, (QUEUE, 12): 0}
    plant(bare, "failures", list(strikes(lost)))
    verdict = judged(bare, "account_setup")
    assert (verdict.choice, verdict.take) == ("journal", "a journalled task")
    assert "in-process, journalled lost 0 of 50" in verdict.sentence
    assert [mark.side for mark in verdict.marks] == [TASK, JOURNAL, QUEUE]
    assert "other machines than the app" in verdict.flips[0]
    assert "inprocess.journal" in verdict.queue_note


def test_a_journalled_task_that_loses_a_job_leaves_the_queue(bare: Path) -> None:
    lost = {(TASK, 10): 8, (JOURNAL, 10): 1, (QUEUE, 10): 0, (QUEUE, 12): 0}
    plant(bare, "failures", list(strikes(lost)))
    assert judged(bare, "account_setup").choice == "queue"


def test_losses_are_told_per_job_that_was_exposed(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 3, (QUEUE, 10): 0, (QUEUE, 12): 0}, times=1)))
    lost = judged(bare, "account_setup").numbers[0]
    assert (lost.value, lost.detail) == ("3 of 10", "30 %, in 1 of 1 strike")
    reached = {"block": "f001", "scenario": "account_setup", "exposed": 4, "lost": 3}
    plant(bare, "exposure", [reached, reached | {"scenario": "welcome_email"}, reached | {"block": "other"}])
    found = judged(bare, "account_setup").numbers[0]
    assert (found.value, found.detail) == ("3 of 4", "75 %, in 1 of 1 strike; 10 accepted in all")


def test_jobs_whose_caller_got_no_answer_stand_beside_the_lost(bare: Path) -> None:
    losses = {(TASK, 10): 3, (QUEUE, 10): 0, (QUEUE, 12): 0}
    plant(bare, "failures", list(strikes(losses, times=1, unknown=7)))
    assert judged(bare, "account_setup").numbers[0].detail.endswith("; 7 more got no answer")
    reached = {"block": "f001", "scenario": "account_setup", "exposed": 4, "lost": 3, "unanswered": 2}
    plant(bare, "exposure", [reached])
    assert judged(bare, "account_setup").numbers[0].detail.endswith("; 2 more got no answer")


def test_a_kill_that_exposed_no_job_is_not_called_survival(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 0, (QUEUE, 10): 0, (QUEUE, 12): 0}, times=1)))
    reached = {"block": "f001", "scenario": "account_setup", "exposed": 0, "lost": 0, "strikes": 3}
    plant(bare, "exposure", [reached])
    verdict = judged(bare, "account_setup")
    assert verdict.choice == "not measured"
    assert verdict.numbers[0].value == "not exposed"
    assert verdict.numbers[0].detail == "no job was accepted and not done at any of 3 strikes"
    assert "none at kill -9 of the app, where no job was exposed" in verdict.sentence
    assert verdict.gaps[0].what == "kill -9 of the app: in-process"


def test_the_headline_names_the_queue_and_its_condition(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 8, (QUEUE, 10): 0, (QUEUE, 12): 0})))
    verdict = judged(bare, "account_setup")
    assert verdict.take == "a hardened queue"
    assert report.answer([verdict]) == (
        "Take a hardened queue for account set-up when no accepted job may be lost."
    )
    assert "this project's own celery_impl.sidekiq" in verdict.queue_note


def test_a_stock_queue_that_keeps_every_job_too_is_named(bare: Path) -> None:
    kept = {(side, fault): 0 for side in (QUEUE, "celery-stock") for fault in (10, 12)}
    plant(bare, "failures", list(strikes({(TASK, 10): 8} | kept)))
    assert judged(bare, "account_setup").take == "a queue (stock or hardened)"


def test_the_losses_of_stock_celery_stand_beside_those_of_the_others(bare: Path) -> None:
    losses = {
        (TASK, 10): 8,
        (QUEUE, 10): 0,
        (QUEUE, 12): 0,
        ("celery-stock", 12): 2,
        ("celery-stock", 20): 10,
    }
    plant(bare, "failures", list(strikes(losses)))
    verdict = judged(bare, "account_setup")
    assert "stock Celery: jobs lost at kill -9 of the worker" in {number.label for number in verdict.numbers}
    label = "stock Celery: faults that lost account set-up jobs"
    faults = {number.label: number for number in verdict.beside}[label]
    assert (faults.value, faults.detail) == (
        "2 of 2",
        (
            "broker killed with jobs queued: 50 of 50; kill -9 of the worker: 10 of 50 "
            "(of 3 faults, those that met accepted jobs of this side)"
        ),
    )
    assert [(mark.side, mark.symbol) for mark in verdict.marks] == [
        (TASK, "\N{BALLOT X}"),
        ("celery-stock", "\N{BALLOT X}"),
        (QUEUE, "\N{CHECK MARK}"),
    ]


def test_a_side_that_lost_nothing_is_marked_by_a_kill_and_not_by_a_deploy(bare: Path) -> None:
    kept = {(QUEUE, 10): 0, (QUEUE, 12): 0, (QUEUE, 13): 0, (TASK, 10): 8}
    plant(bare, "failures", list(strikes(kept)))
    marks = {mark.side: mark.at for mark in judged(bare, "account_setup").marks}
    assert marks == {TASK: "kill -9 of the app", QUEUE: "kill -9 of the app"}


def test_what_a_side_that_is_good_enough_lost_elsewhere_stands_on_the_card(bare: Path) -> None:
    losses = {(TASK, 10): 8, (QUEUE, 10): 0, (QUEUE, 12): 0, (QUEUE, 22): 9, (QUEUE, 20): 1}
    plant(bare, "failures", list(strikes(losses)))
    verdict = judged(bare, "account_setup")
    (but,) = verdict.but
    assert (but.side, but.symbol) == (QUEUE, "\N{BALLOT X}")
    assert (but.text, but.at) == ("lost 45 of 50 accepted jobs", "broker out of memory")
    assert but.also == ("some at 1 more fault",)
    assert verdict.sentence.endswith(
        "But hardened Celery lost 45 of 50 accepted jobs at broker out of memory."
    )


def test_each_side_says_its_own_kill_its_late_jobs_and_the_other_kill(bare: Path) -> None:
    rows = [*strikes({(TASK, 10): 8, (QUEUE, 10): 0}), *strikes({(QUEUE, 12): 0}, late=4, accepted=12)]
    plant(bare, "failures", rows)
    task, queue = judged(bare, "account_setup").marks
    assert (task.text, task.at, task.also) == ("lost 40 of 50 accepted jobs", "kill -9 of the app", ())
    assert (queue.text, queue.at) == ("lost 0 of 60 accepted jobs", "kill -9 of the worker")
    late = "20 of 60 accepted jobs came late (over 5 s)"
    assert queue.also == (late, "lost 0 of 50 accepted jobs at kill -9 of the app")


def test_faults_are_counted_on_one_base_for_every_scenario(bare: Path) -> None:
    losses = {(TASK, 10): 8, (QUEUE, 10): 0, (QUEUE, 12): 0}
    rows = [*strikes(losses), *strikes({(TASK, 27): 0}, scenario="welcome_email")]
    plant(bare, "failures", rows)
    values = {number.label: number.value for number in judged(bare, "account_setup").beside}
    assert values["in-process: faults that lost account set-up jobs"] == "1 of 2"


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (0, "SIGTERM: then the task in the app is enough: in-process lost 0 of 50 accepted jobs at it."),
        (1, "SIGTERM: the verdict stays: in-process lost 5 of 50 accepted jobs at it."),
        (None, "SIGTERM: not told by this run."),
    ],
)
def test_what_sigterm_alone_would_change_is_answered(bare: Path, lost: int | None, told: str) -> None:
    losses = {(TASK, 10): 8, (QUEUE, 10): 0, (QUEUE, 12): 0} | ({} if lost is None else {(TASK, 13): lost})
    plant(bare, "failures", list(strikes(losses)))
    assert judged(bare, "account_setup").flips[1].endswith(told)


def test_the_sync_says_its_interval_and_what_each_side_uses(bare: Path) -> None:
    ages, late = {TASK: 1030, QUEUE: 1040}, {TASK: 1030, QUEUE: 2040}
    plant(bare, "drift", [{"side": side, "policy": "p", "age_p99_ms": age} for side, age in ages.items()])
    used = {TASK: (58, 1), QUEUE: (285, 6)}
    plant(
        bare, "cost", [{"side": side, "pss_mb": mb, "processes": count} for side, (mb, count) in used.items()]
    )
    verdict = judged(bare, "account_sync")
    assert {mark.also for mark in verdict.marks} == {("interval 1 s",)}
    assert verdict.reason == (
        "All are about as fresh, and 1,000 ms is the least; so what a side uses decides, for all its jobs: "
        "in-process 58.0 MB in 1 process; hardened Celery 285 MB in 6 processes."
    )
    plant(bare, "drift", [{"side": side, "policy": "p", "age_p99_ms": age} for side, age in late.items()])
    assert judged(bare, "account_sync").reason.startswith("What each side uses, for all its jobs: in-process")


def test_a_cross_on_the_mail_says_what_it_is_compared_with_and_by_how_much(bare: Path) -> None:
    plant(bare, "comparisons", [compared("response", "higher") | {"margin_ms": 1.5}])
    medians = {TASK: 35.0, QUEUE: 46.0}
    row = {"scenario": "welcome_email", "metric": "response", "quantile": 0.5}
    plant(bare, "latency", [row | {"side": side, "value_ms": value} for side, value in medians.items()])
    verdict = judged(bare, "welcome_email")
    assert [mark.also for mark in verdict.marks] == [(), ("3.00 ms more than in-process",)]
    assert verdict.reason.startswith("\N{BALLOT X}: more than the cheapest side by over 1.50 ms, the margin")


def test_jobs_that_come_late_are_counted_in_the_verdict(bare: Path) -> None:
    rows = [*strikes({(TASK, 10): 8, (QUEUE, 10): 0}), *strikes({(QUEUE, 12): 0}, late=4)]
    plant(bare, "failures", rows)
    verdict = judged(bare, "account_setup")
    assert "kill -9 of the worker (20 of 50 accepted jobs came late (over 5 s))" in verdict.sentence
    assert verdict.beside[0].value == "20 of 50"


def test_a_task_that_keeps_its_jobs_needs_no_queue(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 0, (QUEUE, 10): 0, (QUEUE, 12): 3})))
    verdict = judged(bare, "account_setup")
    assert verdict.choice == "no queue"
    assert verdict.sentence.startswith("You do not need a queue for account set-up if")
    assert "hardened Celery lost 0 of 50 accepted jobs at kill -9 of the app and 15 of 50" in verdict.sentence


def test_where_both_lose_jobs_a_queue_alone_is_not_enough(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 8, (QUEUE, 10): 0, (QUEUE, 12): 1})))
    assert judged(bare, "account_setup").choice == "neither"


def test_zero_losses_print_the_bound_that_they_still_allow(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 0, (QUEUE, 10): 0, (QUEUE, 12): 0})))
    verdict = judged(bare, "account_setup")
    assert [number.detail for number in verdict.numbers] == ["none lost in 5 strikes"] * 3
    assert "after 5 strikes without a loss, as many as 45 in 100 such strikes could" in verdict.caveat


def test_a_failed_sum_check_leaves_the_question_open_though_no_loss_was_seen(bare: Path) -> None:
    planted = [*strikes({(TASK, 10): 8, (QUEUE, 10): 0}), *strikes({(QUEUE, 12): 0}, sum_ok=False)]
    plant(bare, "failures", planted)
    verdict = judged(bare, "account_setup")
    assert verdict.choice == "unsettled"
    assert "accounted for, with hardened Celery at kill -9 of the worker:" in verdict.sentence


def test_a_queue_whose_worker_was_never_killed_is_not_called_safe(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 8, (QUEUE, 10): 0})))
    verdict = judged(bare, "account_setup")
    assert verdict.choice == "unsettled"
    assert verdict.gaps[0].what == "kill -9 of the worker: a queue"
    assert "--measure fault --fault 12 --scenario account_setup" in verdict.gaps[0].command


def test_strikes_that_exposed_no_job_are_not_measured(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 0, (QUEUE, 10): 0, (QUEUE, 12): 0}, accepted=0)))
    assert judged(bare, "account_setup").choice == "not measured"


def test_stock_celery_speaks_for_queues_where_hardened_was_not_measured(bare: Path) -> None:
    stock = "celery-stock"
    plant(bare, "failures", list(strikes({(TASK, 10): 8, (stock, 10): 0, (stock, 12): 0})))
    verdict = judged(bare, "account_setup")
    assert verdict.choice == "queue"
    assert "stock Celery lost 0 of 50" in verdict.sentence


def test_invalid_blocks_do_not_decide(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 8, (QUEUE, 10): 0, (QUEUE, 12): 0})))
    plant(bare, "blocks", [{"block": "f001", "measure": "fault", "valid": False, "reason": "steal"}])
    assert judged(bare, "account_setup").choice == "not measured"


@pytest.mark.parametrize(
    ("task_ages", "queue_ages", "choice"),
    [
        ((1030, 1040), (1035, 1045), "no queue"),
        ((1030, 1040), (5000, 5100), "no queue"),
        pytest.param((1120, 1130), (1035, 1045), "no queue", id="older by less than a tenth"),
        ((3000, 3100), (1030, 1040), "queue"),
        ((1030, 3100), (1030, 1500), "unsettled"),
        ((float("inf"), float("inf")), (float("inf"),), "unsettled"),
        ((float("inf"), float("inf")), (1030,), "queue"),
        ((1030,), (), "unsettled"),
        ((), (), "not measured"),
    ],
)
def test_the_age_of_the_balance_decides_the_sync_either_way(
    bare: Path, task_ages: Sequence[float], queue_ages: Sequence[float], choice: Choice
) -> None:
    rows = [{"side": TASK, "policy": "anchored", "age_p99_ms": age, "ticks_due": 20} for age in task_ages]
    rows += [{"side": QUEUE, "policy": "beat", "age_p99_ms": age, "ticks_due": 20} for age in queue_ages]
    plant(bare, "drift", rows)
    assert judged(bare, "account_sync").choice == choice


def test_a_journalled_task_that_was_measured_stands_beside_the_others_of_the_sync(bare: Path) -> None:
    ages = {TASK: 1030, JOURNAL: 1032, QUEUE: 1040}
    plant(bare, "drift", [{"side": side, "policy": "p", "age_p99_ms": age} for side, age in ages.items()])
    verdict = judged(bare, "account_sync")
    assert verdict.choice == "no queue"
    assert [(mark.side, mark.state) for mark in verdict.marks] == [
        (TASK, "held"), (JOURNAL, "held"), (QUEUE, "held"),
    ]  # fmt: skip
    assert [number.label.partition(",")[0] for number in verdict.numbers] == [
        "in-process", "in-process", "hardened Celery",
    ]  # fmt: skip


def test_the_freshest_policy_speaks_for_the_task_and_the_strongest_drift_is_told(bare: Path) -> None:
    plant(
        bare,
        "drift",
        [
            {"side": TASK, "policy": "work-then-rearm", "age_p99_ms": 2000, "drift_ppm": 22_000},
            {"side": TASK, "policy": "anchored", "age_p99_ms": 1020, "drift_ppm": -11},
            {"side": QUEUE, "policy": "beat", "age_p99_ms": 1040, "drift_ppm": 43},
        ],
    )
    verdict = judged(bare, "account_sync")
    assert "1,020 ms with in-process (anchored + skip)" in verdict.sentence
    assert any(number.value == "22,000 ppm" for number in verdict.beside)


def compared(
    metric: str,
    words: str,
    *,
    ratio: float = 2.0,
    width: float = 1.1,
    pairs: int = 4,
    turned: bool = False,
) -> dict[str, Any]:
    baseline, side = (QUEUE, TASK) if turned else (TASK, QUEUE)
    return {
        "scenario": "welcome_email",
        "metric": metric,
        "quantile": 0.5,
        "baseline": baseline,
        "side": side,
        "pairs": pairs,
        "ratio": ratio,
        "low": ratio / width,
        "high": ratio * width,
        "difference_ms": 3.0,
        "words": words,
    }


def test_a_sure_direction_without_a_size_is_told_by_its_interval(bare: Path) -> None:
    plant(bare, "comparisons", [compared("caller", "higher", ratio=8.0, width=2.0)])
    verdict = judged(bare, "welcome_email")
    assert verdict.choice == "no queue"
    assert (
        "median caller cost is higher with hardened Celery "
        "(4.00 to 16.0 \N{MULTIPLICATION SIGN}; the direction is sure, the size is not)" in verdict.sentence
    )
    assert verdict.numbers[0].value == "higher"
    assert verdict.numbers[0].detail.endswith("4 pairs of blocks; the direction is sure, the size is not")


def test_a_noisy_comparison_shows_no_ratio_as_its_number(bare: Path) -> None:
    plant(bare, "comparisons", [compared("caller", "too noisy to say", width=9.0, pairs=3)])
    number = judged(bare, "welcome_email").numbers[0]
    assert number.value == "too noisy to say"
    assert number.detail == "95 % interval 0.222 to 18.0 \N{MULTIPLICATION SIGN}, 3 pairs of blocks"


def test_a_single_pair_is_told_without_an_interval(bare: Path) -> None:
    row = compared("caller", "too noisy to say", pairs=1) | {"low": 0.0, "high": float("inf")}
    plant(bare, "comparisons", [row])
    verdict = judged(bare, "welcome_email")
    assert verdict.choice == "unsettled"
    assert "too noisy to say (2.00 \N{MULTIPLICATION SIGN} in 1 pair of blocks)" in verdict.sentence


def test_a_figure_without_any_pair_says_so(bare: Path) -> None:
    row = compared("caller", "too noisy to say", pairs=0) | dict.fromkeys(("ratio", "low", "high"), None)
    plant(bare, "comparisons", [row])
    assert "too noisy to say (no pair of blocks)" in judged(bare, "welcome_email").sentence


def test_a_side_that_did_not_finish_is_higher_without_a_size(bare: Path) -> None:
    row = compared("response", "higher") | dict.fromkeys(("ratio", "low", "high"), "inf")
    plant(bare, "comparisons", [row])
    verdict = judged(bare, "welcome_email")
    assert "median response is higher with hardened Celery." in verdict.sentence
    assert "the size" not in verdict.numbers[0].detail


def test_numbers_that_do_not_decide_stand_apart(bare: Path) -> None:
    plant(bare, "failures", list(strikes({(TASK, 10): 8, (QUEUE, 10): 0, (QUEUE, 12): 0})))
    plant(bare, "comparisons", [compared("response", "higher") | {"scenario": "account_setup"}])
    verdict = judged(bare, "account_setup")
    assert all("jobs lost" in number.label for number in verdict.numbers)
    assert [number.label.partition(":")[0] for number in verdict.beside] == [
        TASK_LABEL,
        QUEUE_LABEL,
        "median response",
    ]


@pytest.mark.parametrize(
    ("caller", "response", "choice"),
    [
        ("higher", "lower", "no queue"),
        ("lower", "higher", "queue"),
        ("no clear difference", "lower", "queue"),
        ("no clear difference", "no clear difference", "no queue"),
        ("too noisy to say", "too noisy to say", "unsettled"),
    ],
)
def test_the_callers_cost_and_then_the_response_decide_the_e_mail(
    bare: Path, caller: str, response: str, choice: Choice
) -> None:
    plant(bare, "comparisons", [compared("caller", caller), compared("response", response)])
    assert judged(bare, "welcome_email").choice == choice


def test_a_comparison_told_the_other_way_round_gives_the_same_verdict(bare: Path) -> None:
    plant(bare, "comparisons", [compared("caller", "lower", ratio=0.25, turned=True)])
    verdict = judged(bare, "welcome_email")
    assert verdict.choice == "no queue"
    assert "median caller cost is higher with hardened Celery (4.00 " in verdict.sentence


def test_what_a_crash_does_to_a_mail_flips_the_verdict_in_numbers(bare: Path) -> None:
    plant(bare, "comparisons", [compared("caller", "higher")])
    plant(bare, "failures", list(strikes({(TASK, 10): 6}, scenario="welcome_email")))
    assert "in-process lost 30 of 50" in judged(bare, "welcome_email").flips[0]


def test_the_mails_card_has_the_journalled_task_with_its_price_and_what_it_kept(bare: Path) -> None:
    journal = "inprocess-journal"
    rows = [compared("caller", "higher"), compared("caller", "higher", ratio=4.0) | {"side": journal}]
    plant(bare, "comparisons", rows)
    medians = {TASK: 1.0, journal: 4.0, QUEUE: 2.0}
    common = {"scenario": "welcome_email", "metric": "caller", "quantile": 0.5}
    plant(bare, "latency", [common | {"side": s, "value_ms": ms} for s, ms in medians.items()])
    losses = {(TASK, 10): 6, (journal, 10): 0, (QUEUE, 10): 0}
    plant(bare, "failures", list(strikes(losses, scenario="welcome_email")))
    verdict = judged(bare, "welcome_email")
    assert verdict.choice == "no queue"
    assert [(mark.side, mark.state) for mark in verdict.marks] == [
        (TASK, "held"),
        (journal, "broken"),
        (QUEUE, "broken"),
    ]
    assert "A journalled task is a supervised task in the app" in verdict.queue_note
    assert any("in-process, journalled over in-process" in number.label for number in verdict.beside)
    assert "in-process, journalled lost 0 of 50" in verdict.flips[0]
    assert verdict.flips[0].endswith(
        "A journalled task is the lightest that kept each, and costs the caller 3.00 ms more than one in "
        "memory."
    )


def test_nothing_measured_says_so_for_every_scenario(bare: Path) -> None:
    assert [verdict.choice for verdict in verdicts(read(bare))] == ["not measured"] * 3
    assert all(verdict.sentence.startswith("Not measured") for verdict in verdicts(read(bare)))


def test_only_the_scenarios_of_the_run_are_judged(bare: Path) -> None:
    manifest(bare, scenarios=["welcome_email"])
    assert [verdict.scenario for verdict in verdicts(read(bare))] == [welcome_email.SCENARIO]


def test_a_loss_that_was_seen_outranks_an_ending_that_was_not_measured() -> None:
    assert account_setup.choose("broken", None) == "unsettled"
    assert account_setup.choose("held", None) == "no queue"
    assert account_setup.choose("unknown", "held") == "unsettled"
