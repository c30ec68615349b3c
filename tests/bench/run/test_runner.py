"""A whole run on real parts: small, interrupted, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests import noise

#: Seconds that anything here may take to show.
PATIENCE_S = 60.0


def start(out: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", "--profile", "smoke", "--out", out.name, *words],
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def family(out: Path) -> list[psutil.Process]:
    """Every process, whoever its parent is now, that works for a run in that folder."""
    found = []
    for process in psutil.process_iter():
        try:
            mentions = [*process.cmdline(), process.cwd()]
        except psutil.Error:
            continue
        if process.status() != psutil.STATUS_ZOMBIE and any(str(out) in text for text in mentions):
            found.append(process)
    return found


def eventually(look: object, out: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    assert callable(look)
    while not look():
        assert time.monotonic() < deadline, [process.cmdline() for process in family(out)]
        time.sleep(0.05)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "results"
    yield folder
    for process in family(folder):
        process.kill()


def under_way(out: Path) -> bool:
    return any("bench.load.generator" in process.cmdline() for process in family(out))


@pytest.mark.timeout(180)
def test_a_small_run_writes_its_tables_its_report_and_leaves_nothing_alive(out: Path) -> None:
    run = start(out, "--side", "inprocess", "--measure", "latency", "--measure", "fault")
    printed, _ = run.communicate()

    noise.check_run(run.returncode, printed)
    latest = out / "latest"
    manifest = json.loads((latest / "run.json").read_text())
    assert manifest["finished_at"]
    assert not manifest["interrupted"]
    assert [(part["measure"], part["blocks"]) for part in manifest["parts"]] == [("latency", 1), ("fault", 1)]
    assert all(part["began"] <= part["ended"] for part in manifest["parts"])
    assert "; until about " in printed
    jobs = pd.read_csv(latest / "jobs.csv")
    assert set(jobs["scenario"]) == {"account_setup", "welcome_email"}
    assert (jobs["outcome"] == "done").all()
    assert (jobs["response_ms"] >= 20).all(), "no service answers sooner"
    failures = pd.read_csv(latest / "failures.csv")
    assert failures["sum_ok"].all()
    assert f"report: results/{latest.resolve().name}/report.html" in printed
    assert "<html" in (latest / "report.html").read_text()
    assert family(out) == []
    assert not (latest / "work").exists()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_its_like_keep_what_was_measured_render_it_and_end_every_process(
    out: Path, number: signal.Signals
) -> None:
    run = start(out, "--side", "inprocess", "--side", "celery-hardened")
    eventually(lambda: list(out.glob("*/events-r00-inprocess.jsonl")) and under_way(out), out)

    run.send_signal(number)
    printed, _ = run.communicate()

    assert run.returncode == 128 + number, printed
    manifest = json.loads((out / "latest" / "run.json").read_text())
    assert manifest["interrupted"]
    assert list(pd.read_csv(out / "latest" / "blocks.csv")["block"])[:1] == ["r00-inprocess"]
    assert (out / "latest" / "report.html").exists()
    assert family(out) == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_killed_run_leaves_no_process_alive(out: Path) -> None:
    run = start(out, "--side", "celery-hardened", "--measure", "latency")
    eventually(lambda: under_way(out), out)

    os.kill(run.pid, signal.SIGKILL)
    run.communicate()

    eventually(lambda: family(out) == [], out)
