"""Checks a finished run as its reader would: `python .ci/check_run.py results/latest`.

Every table is there, every sum check holds, and the report opens in Chromium without a message
on the console and without a request to anything but the file itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from tests.chromium import chromium

TABLES = ("blocks", "jobs", "requests", "latency", "ticks", "drift", "failures", "cost")


def check_files(run: Path) -> None:
    """Fail where a table is missing, a sum does not hold or the run did not finish."""
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["finished_at"], "the run did not finish"
    for name in TABLES:
        assert not pd.read_csv(run / f"{name}.csv").empty, f"{name}.csv is empty"
    assert pd.read_csv(run / "failures.csv")["sum_ok"].all(), "a sum check does not hold"
    assert json.loads((run / "micro.json").read_text())["benchmarks"], "no call costs"
    assert json.loads((run / "summary.json").read_text())["run"] == manifest["run"], "no summary"
    assert manifest["run"] in (run.resolve().parent / "index.html").read_text(), "not in the list of runs"


def check_report(run: Path) -> None:
    """Fail where the report says something on the console, asks for another file or lacks a verdict."""
    page_url = (run / "report.html").resolve().as_uri()
    with chromium() as browser:
        page = browser.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_url)
        text = page.inner_text("body")
    assert not said, said
    assert [url for url in asked if not url.startswith("data:")] == [page_url], asked
    for scenario in ("Account set-up", "Periodic sync", "Welcome e-mail"):
        assert scenario in text, f"no verdict on {scenario}"


if __name__ == "__main__":
    check_files(Path(sys.argv[1]))
    check_report(Path(sys.argv[1]))
    sys.stdout.write(f"{sys.argv[1]}: every table, every sum and the report hold\n")
