"""A chord whose last part died before it sent the callback."""

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
