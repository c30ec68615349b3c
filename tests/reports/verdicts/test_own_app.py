"""The verdicts on an app of somebody's own: the same rules, in the words of its tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.data import rerun_commands
from reports.data.run import read
from reports.verdicts import Verdict, verdicts
from tests.reports.page_words import words_of
from tests.reports.synthetic_run import manifest, plant, strike

TASK, QUEUE, PAY = "inprocess", "celery-app", "shop.tasks.send_pay"
COMMAND = ["queue-or-task", "run", "--app", "shop.celery:app", "--task", PAY, "--args", "[42]"]
ENTRY = {"name": "sweep", "task": "shop.tasks.sweep", "own_schedule": "every 86400 s", "every_s": 1.0}
SEEN = {"effects": {"mail": 40, "completion": 2}, "exits": 3, "failed": 3, "first_failure": "WorkerLostError"}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run of somebody's own app without any table."""
    described(tmp_path)
    return tmp_path


def described(folder: Path, **changes: Any) -> None:
    app = {"app": "shop.celery:app", "worker": {"task_acks_late": True}, "entries": [], **changes}
    command = [*COMMAND, "--measure", "latency", "--side", "celery", "--profile", "quick", "--seed", "7"]
    manifest(folder, scenarios=[PAY], sides=[TASK, QUEUE], command=command, own_app=app)


def struck(folder: Path, losses: dict[tuple[str, int], int]) -> None:
    rows = [
        strike(side=side, fault=fault, lost=lost, strike=0, scenario=PAY, predicted="", as_predicted="")
        for (side, fault), lost in losses.items()
    ]
    plant(folder, "failures", rows)


def judged(folder: Path, place: int = 0) -> Verdict:
    return verdicts(read(folder))[place]


def numbers(verdict: Verdict) -> dict[str, str]:
    return {number.label: number.value for number in (*verdict.numbers, *verdict.beside)}


def test_a_call_that_the_app_loses_and_the_settings_keep_asks_for_a_queue(bare: Path) -> None:
    struck(bare, {(TASK, 10): 4, (QUEUE, 10): 0, (QUEUE, 12): 0})
    verdict = judged(bare)
    assert verdict.choice == "queue"
    assert verdict.sentence.startswith(
        f"Take a queue with your settings for {PAY} when no accepted call may be lost: in-process lost 4"
    )
    assert "your Celery settings lost 0 of" in verdict.sentence
    assert numbers(verdict)["your Celery settings: calls lost at kill -9 of the worker"].startswith("0 of")


def test_kills_that_exposed_no_call_leave_the_condition_in_the_sentence(bare: Path) -> None:
    struck(bare, {(TASK, 10): 0, (QUEUE, 10): 0, (QUEUE, 12): 0})
    plant(bare, "exposure", [{"block": "f001", "scenario": PAY, "exposed": 0, "lost": 0}])
    compared = {"scenario": PAY, "metric": "caller", "quantile": 0.5, "baseline": TASK, "side": QUEUE}
    plant(
        bare,
        "comparisons",
        [compared | {"pairs": 4, "ratio": 2.0, "low": 1.9, "high": 2.1, "words": "higher"}],
    )
    verdict = judged(bare)
    assert verdict.choice == "no queue"
    assert "if losing a call at a crash is acceptable" in verdict.sentence
    assert "in-process lost none at kill -9 of the app, where no job was exposed" in verdict.sentence


def test_settings_that_lose_calls_too_are_told_what_is_missing(bare: Path) -> None:
    struck(bare, {(TASK, 10): 4, (QUEUE, 10): 0, (QUEUE, 12): 2})
    verdict = judged(bare)
    assert verdict.choice == "neither"
    assert "task_reject_on_worker_lost" in verdict.flips[1]


def test_an_app_that_lost_nothing_needs_none_and_the_bound_is_told(bare: Path) -> None:
    struck(bare, {(TASK, 10): 0, (QUEUE, 10): 0, (QUEUE, 12): 0})
    verdict = judged(bare)
    assert verdict.choice == "no queue"
    assert "95 in 100" in verdict.caveat


def test_without_a_kill_the_price_of_the_call_decides_and_the_kill_is_a_gap(bare: Path) -> None:
    row = {"scenario": PAY, "quantile": 0.5, "baseline": TASK, "side": QUEUE, "pairs": 4, "why": ""}
    figures = {"ratio": 8.0, "low": 7.0, "high": 9.0, "difference_ms": 2.0, "words": "higher"}
    plant(bare, "comparisons", [row | figures | {"metric": metric} for metric in ("caller", "response")])
    verdict = judged(bare)
    assert verdict.choice == "no queue"
    assert "if losing a call at a crash is acceptable" in verdict.sentence
    assert verdict.gaps[0].command == (
        "queue-or-task run --app shop.celery:app --task shop.tasks.send_pay --args '[42]' "
        "--measure fault --fault 10 --profile quick --seed 7"
    )


def test_a_run_without_any_figure_says_so(bare: Path) -> None:
    verdict = judged(bare)
    assert verdict.choice == "not measured"
    assert verdict.sentence.startswith("Not measured")


def test_it_is_told_by_what_effects_were_counted_and_what_the_task_did(bare: Path) -> None:
    described(bare, seen={PAY: SEEN})
    told = numbers(judged(bare))
    assert told["effects counted by"] == "bench.hooks.effect"
    assert told["runs that called sys.exit"] == "3"
    assert told["calls that failed"] == "3"
    described(bare, seen={PAY: {"effects": {"completion": 2}}})
    assert numbers(judged(bare))["effects counted by"] == "the task's completion"


def test_an_entry_of_the_schedule_has_a_verdict_of_its_own(bare: Path) -> None:
    described(bare, entries=[ENTRY])
    row = {
        "policy": "sweep",
        "owner": "sweep",
        "ticks_due": 10,
        "missed": 0,
        "duplicates": 0,
        "drift_ppm": 4.0,
    }
    ages = {TASK: 1010.0, QUEUE: 1040.0}
    plant(
        bare,
        "drift",
        [
            row | {"block": side, "side": side, "age_p99_ms": age, "age_max_ms": age}
            for side, age in ages.items()
        ],
    )
    verdict = judged(bare, 1)
    assert verdict.scenario == "shop.tasks.sweep (sweep)"
    assert verdict.choice == "no queue"
    assert numbers(verdict)["pace"] == "every 1.00 s here; its own: every 86400 s"


def test_the_page_renders_and_keeps_the_tasks_name(bare: Path) -> None:
    described(bare, entries=[ENTRY], seen={PAY: SEEN}, left_out=["nightly: every day has too few ticks"])
    struck(bare, {(TASK, 10): 4, (QUEUE, 10): 0, (QUEUE, 12): 0})
    text = words_of(bare)
    assert PAY in text
    assert "Send_pay" not in text
    assert "An entry of the schedule: nightly: every day has too few ticks." in text
    assert "your Celery settings" in text
    assert rerun_commands.run_again(read(bare)).startswith("queue-or-task run --app shop.celery:app")
