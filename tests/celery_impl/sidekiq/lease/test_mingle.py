"""A worker of the lease transport with Celery's own talk between workers on, as it starts by default."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_that_mingles_and_gossips_runs_its_jobs(lab: Any, pool: str) -> None:
    sample = lab.sample(QUEUE_OR_TASK_FETCH="lease")
    log = lab.folder / "mingling.log"
    options = ("-P", pool, "-c", "2", "-l", "INFO")
    worker = lab.begin(log, "-A", "sample_app", "worker", *options)
    try:
        lab.eventually(lambda: " ready." in log.read_text(errors="replace"))
        for number in range(20):
            sample.note.delay(f"job-{number}")
        lab.eventually(lambda: all(lab.runs("done", f"job-{number}") for number in range(20)))
        assert all(len(lab.runs("done", f"job-{number}")) == 1 for number in range(20))
        assert "Unrecoverable" not in log.read_text(errors="replace")
    finally:
        worker.terminate()
        worker.wait(30)
