"""What counts as a call's effect: what the task noted, else its completion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.hooks import COMPLETION
from bench.own_app import effects, task_counts

TASK = "shop.tasks.a"


def effect(job: str, kind: str, of: str = "", t: int = 0) -> dict[str, Any]:
    return {"t": t, "event": "effect", "scenario": TASK, "job": job, "kind": kind, "of": of}


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in effects.counted(events)]


def test_a_job_of_two_effects_is_done_once() -> None:
    assert kinds([effect("j", "row"), effect("j", "mail")]) == ["row"]


def test_the_effect_that_came_twice_makes_the_job_a_double() -> None:
    assert kinds([effect("j", "row"), effect("j", "mail"), effect("j", "mail")]) == ["mail", "mail"]


def test_the_same_kind_for_two_subjects_is_no_double() -> None:
    assert kinds([effect("j", "mail", of="ann"), effect("j", "mail", of="bob")]) == ["mail"]


def test_a_second_run_that_found_the_work_done_is_no_double() -> None:
    assert kinds([effect("j", "mail"), effect("j", COMPLETION)]) == ["mail"]
    assert kinds([effect("j", COMPLETION), effect("j", "mail")]) == ["mail"]


def test_two_completions_are_a_double() -> None:
    assert kinds([effect("j", COMPLETION), effect("j", COMPLETION)]) == [COMPLETION, COMPLETION]


def test_jobs_are_counted_apart_and_other_events_stay() -> None:
    done = {"t": 3, "event": "done", "scenario": TASK, "job": "a"}
    events = [effect("a", "mail"), effect("b", "mail"), done]
    assert effects.counted(events) == events


def test_a_run_tells_by_what_it_counted_and_what_went_wrong(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        effect("a", "mail"),
        effect("b", COMPLETION),
        {"t": 1, "event": "raised", "scenario": TASK, "job": "c", "error": "SystemExit: 3"},
        {"t": 2, "event": "failed", "scenario": TASK, "job": "c", "error": "WorkerLostError: exit 3"},
        {"t": 3, "event": "start", "scenario": "beat_schedule", "job": "sweep/sync"},
        {"t": 4, "event": "fault_on", "fault": 12},
    ]
    (tmp_path / "events-r00.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    assert task_counts.tally(tmp_path) == {
        TASK: {
            "effects": {"mail": 1, COMPLETION: 1},
            "exits": 1,
            "failed": 1,
            "first_failure": "WorkerLostError: exit 3",
        }
    }
