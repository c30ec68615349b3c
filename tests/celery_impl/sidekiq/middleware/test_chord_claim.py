"""A chord one of whose parts died before it was counted, or before it sent the callback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import chord

from bench.soak.sidekiq_app import LOG, build
from celery_impl.sidekiq.lease.scripts import MARK


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's
def test_a_claim_that_a_dead_process_left_does_not_keep_the_callback_back(lab: Any) -> None:
    env = {"REDIS_URL": f"lease+{lab.broker.url}", "QUEUE_OR_TASK_PROFILE": "hardened"}
    log = lab.folder / "runs"
    lab.app = "bench.soak.sidekiq_app"
    lab.env |= {**env, LOG: str(log)}
    soaked = build(env)
    parts = [soaked.part.si(name, 0.0) for name in ("left", "right")]
    chord(parts)(soaked.job.si("after", 0.0))
    [group] = {json.loads(text)["headers"]["group"] for text in lab.redis.lrange("celery", 0, -1)}
    lab.redis.set(f"celery-taskset-meta-{group}.c", "of the dead", ex=600)
    for place, text in enumerate(lab.redis.lrange("celery", 0, -1)):
        lab.redis.lset("celery", place, MARK + text[1:])  # as a worker's death gives them back

    lab.worker("--concurrency", "1")

    lab.eventually(lambda: lab.runs("done", "after"))
    soaked.app.close()


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's
@pytest.mark.parametrize(
    ("method", "deduplicates"),
    [
        pytest.param("on_chord_part_return", "", id="before the count"),
        pytest.param("on_chord_part_return", "yes", id="before the count, with successful tasks left out"),
        pytest.param("_chord_publish_claim_expires", "", id="with the claim"),
    ],
)
def test_the_callback_comes_though_a_part_died_when_its_result_was_stored(
    lab: Any, method: str, deduplicates: str
) -> None:
    env = {"REDIS_URL": f"lease+{lab.broker.url}", "QUEUE_OR_TASK_PROFILE": "hardened"}
    lab.app = "chord_dying_app"
    lab.env |= {**env, LOG: str(lab.folder / "runs"), "CHORD_DIES_IN": method}
    lab.env["CHORD_DEDUPLICATES"] = deduplicates
    soaked = build(env)
    chord([soaked.part.si(name, 0.0) for name in ("left", "right")])(soaked.job.si("after", 0.0))

    lab.worker("--concurrency", "1")

    lab.eventually(lambda: lab.runs("done", "after"))
    assert (lab.folder / "died").exists()
    assert sorted(len(lab.runs("done", name)) for name in ("left", "right", "after")) == [1, 1, 2]
    soaked.app.close()


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's
@pytest.mark.parametrize("lost", ["question", "answer"])
def test_a_part_that_could_not_be_counted_runs_again_and_is_no_failed_one(lab: Any, lost: str) -> None:
    env = {"REDIS_URL": f"lease+{lab.broker.url}", "QUEUE_OR_TASK_PROFILE": "hardened"}
    lab.app = "chord_dying_app"
    lab.env |= {**env, LOG: str(lab.folder / "runs"), "CHORD_DIES_IN": "on_chord_part_return"}
    lab.env["CHORD_LOSES"] = lost
    soaked = build(env)
    chord([soaked.part.si(name, 0.0) for name in ("left", "right")])(soaked.job.si("after", 0.0))

    lab.worker("--concurrency", "1", "--pool", "threads")

    lab.eventually(lambda: lab.runs("done", "after"))
    assert lab.sets.dead_jobs() == []
    assert sorted(len(lab.runs("done", name)) for name in ("left", "right")) == [1, 2]
    soaked.app.close()
