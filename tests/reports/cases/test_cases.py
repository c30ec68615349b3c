from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.schema import State
from reports.cases import Choice, cases
from reports.cases.survival import weigh
from reports.data.run import read
from tests.reports.synthetic_run import manifest, plant, strike

QUEUE = "celery-hardened"
SIDES = ("inprocess", "inprocess-journal", QUEUE)
JOURNALS_CALLER = {
    "scenario": "account_setup", "metric": "caller", "quantile": 0.5, "baseline": "inprocess",
    "side": "inprocess-journal", "pairs": 10, "ratio": 4.0, "low": 3.9, "high": 4.1, "difference_ms": 0.9,
    "words": "higher", "margin_ms": 0.1,
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with nothing but a manifest, to plant tables in: a whole one takes longer to read."""
    manifest(tmp_path)
    return tmp_path


def answer(folder: Path, question: str, key: str = "yes") -> Choice:
    asked = next(item for item in cases(read(folder)) if item.key == question)
    return next(item for item in asked.answers if item.key == key)


def strikes(fault: int, lost: Mapping[str, int], **changes: Any) -> list[dict[str, Any]]:
    return [
        strike(fault=fault, side=side, strike=number, lost=count, **changes)
        for side, count in lost.items()
        for number in range(5)
    ]


@pytest.mark.parametrize(
    ("task", "queue", "points"), [(3, 0, "queue"), (0, 3, "task"), (0, 0, "either"), (3, 3, "neither")]
)
def test_what_must_survive_goes_where_nothing_was_lost(run: Path, task: int, queue: int, points: str) -> None:
    plant(run, "failures", strikes(10, {"inprocess": task, QUEUE: queue}))
    found = answer(run, "restart")
    assert found.points == points
    assert f"in-process lost {5 * task} of 50" in found.evidence[0].text


@pytest.mark.parametrize(
    ("task", "journal", "queue", "points", "queue_too"),
    [
        (3, 0, 0, "journal", True),
        (3, 0, 3, "journal", False),
        (3, 3, 0, "queue", True),
        (3, 3, 3, "neither", False),
        (0, 0, 0, "either", True),
    ],
)
def test_of_three_answers_the_lightest_that_lost_nothing_is_enough(
    run: Path, task: int, journal: int, queue: int, points: str, *, queue_too: bool
) -> None:
    rows = strikes(10, {"inprocess": task, "inprocess-journal": journal, QUEUE: queue})
    plant(run, "failures", rows)
    for question in ("restart", "retries"):
        found = answer(run, question)
        assert (found.points, found.queue_too) == (points, queue_too)
        assert any(item.text.startswith("in-process, journalled lost") for item in found.evidence)


def test_machines_and_the_database_separate_a_journal_from_a_queue(run: Path) -> None:
    keys = {question.key for question in cases(read(run))}
    assert not keys & {"machines", "database"}
    plant(run, "failures", strikes(34, {"inprocess": 0, "inprocess-journal": 0, QUEUE: 0}))
    plant(
        run,
        "capacity",
        [{"block": s, "side": s, "capacity_per_s": 50, "held_per_s": 50, "broke_per_s": 60} for s in SIDES],
    )
    plant(run, "comparisons", [JOURNALS_CALLER])
    assert answer(run, "machines").points == "queue"
    assert answer(run, "machines", "no").points == "either"
    assert answer(run, "database", "no").points == "no-journal"
    price = [item.text for item in answer(run, "database").evidence]
    assert "in-process, journalled over in-process: 4.00 " in price[0]
    assert price[1].startswith("requests that each got done at most: in-process, journalled 50 to 60/s and")
    assert "in-process, journalled lost 0 of 50" in price[2]


def test_a_rate_says_whether_the_journal_has_room(run: Path) -> None:
    most = {"inprocess": 100, "inprocess-journal": 40, QUEUE: 90}
    plant(run, "capacity", [{"block": s, "side": s, "capacity_per_s": n} for s, n in most.items()])
    assert answer(run, "rate", "50").implies.endswith("have no room for it.")
    assert answer(run, "rate", "10").implies.endswith("have room for it.")


def test_no_loss_seen_tells_what_that_still_allows(run: Path) -> None:
    plant(run, "failures", strikes(10, {"inprocess": 3, QUEUE: 0}))
    told = "after 5 strikes without a loss, up to 45 % of such strikes could still lose one"
    assert told in answer(run, "restart").evidence[1].text


@pytest.mark.parametrize("question", ["restart", "retries", "replicas", "heavy", "on-time"])
def test_what_was_not_measured_is_open_and_says_the_command(run: Path, question: str) -> None:
    found = answer(run, question)
    assert found.points == "open"
    assert found.gaps[0].command.startswith("queue-or-task run --measure")


@pytest.mark.parametrize(
    ("task", "queue", "points"),
    [("held", "unknown", "open"), (None, "held", "open"), ("broken", "held", "queue")],
)
def test_an_unknown_side_leaves_a_promise_open(task: State | None, queue: State | None, points: str) -> None:
    assert weigh(task, queue) == points


@pytest.mark.parametrize(
    ("task", "stock", "hardened", "points"),
    [
        (9, 9, 0, "lease"),  # hardened Celery's beat holds a lease, the others have none
        (0, 9, 0, "lease"),  # in-process with Leased
        (9, 9, None, "lease"),
        (0, 0, 0, "either"),
        (0, 9, 9, "task"),
        (9, 9, 9, "neither"),
        (None, 9, 0, "open"),
        (9, None, None, "open"),
    ],
)
@pytest.mark.parametrize("journal", [0, None])
def test_what_helps_two_schedules_is_a_lease_and_not_a_queue(
    run: Path, task: int | None, stock: int | None, hardened: int | None, points: str, *, journal: int | None
) -> None:
    rows = [
        strike(fault=29, side=side, scenario="account_sync", accepted=0, bursts=bursts)
        for side, bursts in (
            ("inprocess", task),
            ("inprocess-journal", journal),
            ("celery-stock", stock),
            (QUEUE, hardened),
        )
        if bursts is not None
    ]
    plant(run, "failures", rows)
    assert answer(run, "replicas").points == points


@pytest.mark.parametrize(
    ("task", "words"), [(9, "this run measured it without one"), (0, "In-process held its lease")]
)
def test_two_schedules_say_whether_in_process_held_its_lease(run: Path, task: int, words: str) -> None:
    rows = [
        strike(fault=29, side=side, scenario="account_sync", accepted=0, bursts=bursts)
        for side, bursts in (("inprocess", task), ("celery-stock", 91), (QUEUE, 0))
    ]
    plant(run, "failures", rows)
    found = answer(run, "replicas").implies
    assert "stock Celery ran 91 ticks twice within half an interval" in found
    assert words in found


def test_a_kill_that_exposed_no_job_leaves_the_question_open(run: Path) -> None:
    plant(run, "failures", strikes(10, {"inprocess": 0, QUEUE: 0}))
    plant(run, "exposure", [{"block": "f001", "scenario": "account_setup", "exposed": 0, "lost": 0}])
    found = answer(run, "restart")
    assert found.points == "open"
    assert found.evidence[0].text == "in-process: no job was exposed at kill -9 of the app"
    assert "--fault 10" in found.gaps[0].command


@pytest.mark.parametrize(("rate", "points"), [("1", "either"), ("50", "task"), ("200", "neither")])
def test_a_rate_has_room_up_to_four_fifths_of_what_a_side_got_done(run: Path, rate: str, points: str) -> None:
    most = {"inprocess": 100, QUEUE: 57}
    plant(run, "capacity", [{"block": s, "side": s, "capacity_per_s": n} for s, n in most.items()])
    assert answer(run, "rate", rate).points == points


def test_a_rate_is_in_requests_a_second_as_the_figures_of_load_are(run: Path) -> None:
    plant(
        run,
        "capacity",
        [{"block": "c", "side": "inprocess", "capacity_per_s": 80, "capacity_jobs_per_s": 120}],
    )
    found = answer(run, "rate", "50")
    assert found.short == "50 requests a second"
    assert [item.text for item in found.evidence] == [
        "in-process got at most 80 requests a second done; room is up to 80 %"
    ]


def test_jobs_that_a_request_hands_over_do_not_double_with_the_replicas(run: Path) -> None:
    rows = [
        strike(fault=29, side=side, scenario="account_sync", accepted=0, bursts=9)
        for side in ("inprocess", QUEUE)
    ]
    plant(run, "failures", rows)
    assert "a job that a caller submits is taken by one process" in answer(run, "replicas").implies


@pytest.mark.parametrize(
    ("process", "worker", "points"),
    [(12, 5, "either"), (400, 5, "queue"), (12, 400, "task"), (400, 400, "neither")],
)
def test_a_heavy_job_goes_where_the_app_still_answers(
    run: Path, process: float, worker: float, points: str
) -> None:
    lags = {("loop", "inprocess"): 225, ("process", "inprocess"): process, ("worker", QUEUE): worker}
    rows = [{"block": p, "side": s, "place": p, "lag_p99_ms": lag} for (p, s), lag in lags.items()]
    plant(run, "hogs", rows)
    found = answer(run, "heavy")
    assert found.points == points
    assert "on the app's loop" not in found.implies


@pytest.mark.parametrize(
    ("task", "queue", "points"), [(1020, 1500, "task"), (1500, 1020, "queue"), (1020, 1025, "either")]
)
def test_the_younger_balance_is_the_one_on_time(run: Path, task: float, queue: float, points: str) -> None:
    rows = [
        {"block": s, "side": s, "policy": p, "age_p99_ms": age, "on_time_percent": 100}
        for s, p, age in (("inprocess", "anchored", task), (QUEUE, "beat", queue))
    ]
    plant(run, "drift", rows)
    assert answer(run, "on-time").points == points
