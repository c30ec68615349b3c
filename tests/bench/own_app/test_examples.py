"""Each example app through a whole run of the smoke profile: what it writes, and what its report says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import noise

EXAMPLES = Path(__file__).parents[3] / "examples"
#: Seconds that a run may take on a machine that does other things.
PATIENCE_S = 240


def run(folder: str, out: Path, *words: str, **env: str) -> dict[str, Any]:
    """Run in the example's folder and return the manifest."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "run", "--profile", "smoke", "--out", str(out), *words],
        cwd=EXAMPLES / folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    noise.check_run(done.returncode, done.stdout + done.stderr)
    manifest: dict[str, Any] = json.loads((out / "latest" / "run.json").read_text())
    assert manifest["finished_at"]
    return manifest


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / "latest" / f"{name}.csv")


@pytest.mark.slow  # `test_other_names` has the same way on both sides
@pytest.mark.timeout(PATIENCE_S + 10)
def test_the_shop_is_measured_on_both_sides(tmp_path: Path) -> None:
    task = "shop.tasks.send_receipt"
    words = ["--app", "shop.celery:app", "--task", task, "--args", "[42]", "--rate", "20/s"]
    manifest = run("shop", tmp_path, *words, "--measure", "latency")

    jobs = table(tmp_path, "jobs")
    assert set(jobs["side"]) == {"inprocess", "celery-app"}
    assert set(jobs["scenario"]) == {task}
    assert set(jobs["outcome"]) == {"done"}
    assert (jobs["response_ms"] >= 20).all(), "the mail server answers no sooner"
    assert manifest["own_app"]["seen"][task]["effects"].keys() == {"receipt"}
    assert manifest["own_app"]["left_out"][0].startswith("nightly-report")
    assert task in (tmp_path / "latest" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 10)
def test_the_orders_of_fastapi_survive_a_killed_worker_or_are_counted(tmp_path: Path) -> None:
    words = ["--workload", "checkout.toml", "--side", "celery", "--measure", "fault", "--fault", "12"]
    manifest = run("fastapi_orders", tmp_path, *words)

    failures = table(tmp_path, "failures")
    assert set(failures["scenario"]) == {"orders.background.confirm", "orders.background.render_invoice"}
    assert failures["sum_ok"].all()
    assert failures["accepted"].sum() > 0
    assert failures["predicted"].isna().all()
    assert manifest["own_app"]["seen"]["orders.background.confirm"]["effects"].keys() == {"completion"}


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 10)
def test_the_crontab_entries_of_django_tick_at_the_pace_that_was_asked_for(tmp_path: Path) -> None:
    words = ["--app", "clinic", "--task", "visits.tasks.remind", "--args", '[{"sequence": 1}]']
    run(
        "django_clinic",
        tmp_path,
        *words,
        *("--measure", "drift", "--beat-every", "1s"),
        DJANGO_SETTINGS_MODULE="clinic.settings",
    )

    drift = table(tmp_path, "drift")
    assert set(drift["policy"]) == {"remind-of-tomorrow", "poll-laboratory"}
    assert set(drift["side"]) == {"inprocess", "celery-app"}
    assert (drift["ticks_run"] > 0).all()
