from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import reports
from bench.schema import COMPARED, SCHEMA_VERSION
from reports.data.errors import RunError
from reports.index import write_index
from reports.versus import differences, tables, write_page
from reports.versus.two_runs import read_pair
from tests.reports.synthetic_run import manifest, plant, strike

ROOT = Path(reports.__file__).parents[2]
HOSTILE = "<script>alert('x')</script>"
PAIRED = "paired by repetition"


def row(**changes: Any) -> dict[str, Any]:
    """A figure that got slower from A to B."""
    fields = {
        "scenario": "welcome_email",
        "side": "inprocess",
        "metric": "response",
        "quantile": 0.5,
        "a": 15.0,
        "b": 30.0,
        "pairs": 4,
        "ratio": 2.0,
        "low": 1.8,
        "high": 2.2,
        "words": "higher",
        "why": "+15 ms",
    }
    return fields | changes


def comparison(folder: Path, *rows: dict[str, Any], a: dict[str, Any], b: dict[str, Any]) -> Path:
    """Two runs with nothing but a manifest, and what `compare` writes of them."""
    for letter, changes in (("a", a), ("b", b)):
        (folder / letter).mkdir(parents=True)
        manifest(folder / letter, run=letter, **changes)
    return told(folder, *rows)


def told(folder: Path, *rows: dict[str, Any], a: str = "a", b: str = "b") -> Path:
    path = folder / "compare-a-b.json"
    path.write_text(json.dumps({"schema": 1, "a": a, "b": b, "how": PAIRED, "rows": rows or [row()]}))
    return path


@pytest.fixture(scope="module")
def whole(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the whole run beside itself."""
    folder = tmp_path_factory.mktemp("versus")
    path = os.path.relpath(whole_run, folder)
    figures = told(
        folder, row(), row(side="inline", words="lower", ratio=0.5, low=0.4, high=0.6), a=path, b=path
    )
    return write_page(figures).read_text(encoding="utf-8")


def test_the_page_says_how_the_blocks_are_compared_and_lays_responses_and_phases_over_each_other(
    whole: str,
) -> None:
    assert "Compared: paired by repetition." in whole
    assert "Of 2 figures in B: 1 lower, 1 higher." in whole
    for title in (
        "Response of account set-up",
        "Phase of the periodic sync over time",
        "B over A: welcome e-mail",
    ):
        assert f"<h3>{title}</h3>" in whole
    assert "Nothing that the manifests tell" in whole


def test_what_differs_is_told_and_the_load_of_the_moment_is_not(tmp_path: Path) -> None:
    machine = {"cores": 2, "system": "Linux", "load_before": [0.1]}
    b = {
        "machine": {**machine, "cores": 8, "load_before": [9.0]},
        "versions": {"celery": "5.8.0", "python": "3.11.2", "rich": "14"},
        "git": {"commit": "1" * 40, "dirty": True},
        "seed": 8,
        "plan": {"rate_per_s": 20, "seconds": 8, "drain_limit_s": 10},
    }
    pair = read_pair(comparison(tmp_path, a={"machine": machine}, b=b))
    assert {fact.what: (fact.a, fact.b) for fact in differences.facts(pair) if fact.differs} == {
        "git: commit": ("0" * 40, "1" * 40),
        "git: dirty": ("no", "yes"),
        "versions: celery": ("5.7.0", "5.8.0"),
        "versions: rich": ("\N{EN DASH}", "14"),
        "machine: cores": ("2", "8"),
        "plan: rate_per_s": ("10", "20"),
        "seed": ("7", "8"),
    }


def test_ratios_come_with_their_interval_and_the_harness_words(tmp_path: Path) -> None:
    rows = [
        row(),
        row(words="no clear difference", side="inline"),
        row(ratio=None, low=None, b="inf", side="celery-stock"),
    ]
    found = tables.ratios(read_pair(comparison(tmp_path, *rows, a={}, b={})))
    assert found is not None
    assert found.rows[0][2:7] == (
        "15.0 ms",
        "30.0 ms",
        "2.00 \N{MULTIPLICATION SIGN} (1.80 to 2.20)",
        "4",
        "higher",
    )
    assert found.rows[2][3:5] == ("> limit", "\N{EN DASH}")
    differing = tables.differing(found)
    assert differing is not None
    assert len(differing.rows) == 2


def test_jobs_that_a_fault_lost_in_one_of_the_runs_stand_side_by_side(tmp_path: Path) -> None:
    figures = comparison(tmp_path, a={}, b={})
    plant(tmp_path / "a", "failures", [strike(lost=4), strike(fault=12)])
    plant(tmp_path / "b", "failures", [strike(lost=0), strike(fault=12)])
    found = tables.faults(read_pair(figures))
    assert found is not None
    assert [cells[:4] for cells in found.rows] == [
        ("10 kill -9 of the app: account set-up", "in-process", "4 of 10", "0 of 10")
    ]


def test_stamps_and_problems_of_both_runs_are_told(tmp_path: Path) -> None:
    figures = comparison(tmp_path, a={"profile": "full"}, b={"interrupted": True})
    (tmp_path / "b" / "jobs.csv").write_bytes(b"\xff")
    text = write_page(figures).read_text(encoding="utf-8")
    assert "B: quick: not for quoting" in text
    assert "B: interrupted: holds what was measured until then" in text
    assert "A: " not in text.partition("</header>")[0]
    assert "B: jobs.csv holds bytes that are no UTF-8" in text


def test_hostile_text_shows_as_text(tmp_path: Path) -> None:
    changes = {"profile": HOSTILE, "versions": {HOSTILE: HOSTILE}, "command": [HOSTILE], "seed": HOSTILE}
    rows = [row(**dict.fromkeys(("scenario", "side", "metric", "words", "why"), HOSTILE))]
    text = write_page(comparison(tmp_path, *rows, a=changes, b={})).read_text(encoding="utf-8")
    assert text.count("<script") == 1  # our own
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"a": 1, "b": 2, "how": "", "rows": 3}', "[" * 100_000, "\x00"]
)
def test_a_file_that_no_comparison_wrote_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "compare-a-b.json").write_text(content)
    with pytest.raises(RunError) as refused:
        write_page(tmp_path / "compare-a-b.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [None, "inf", "nonsense", [], {}, True, 1e300, -1, 0])
def test_a_comparison_with_odd_figures_renders(tmp_path: Path, value: object) -> None:
    figures = comparison(tmp_path, dict.fromkeys(COMPARED, value), row(ratio=value), {}, a={}, b={})
    assert "</html>" in write_page(figures).read_text(encoding="utf-8")


def test_runs_of_different_schemas_end_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    figures = comparison(tmp_path, a={}, b={"schema": SCHEMA_VERSION + 1})
    command = [sys.executable, "-m", "reports.versus", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "upgrade queue-or-task" in done.stderr


def test_a_list_of_runs_beside_the_page_leads_to_it_at_once(tmp_path: Path) -> None:
    figures = comparison(tmp_path, row(), a={}, b={})
    listed = write_index(tmp_path)
    assert figures.with_suffix(".html").name not in listed.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "reports.versus", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"all runs: {listed}"
    assert f'href="{figures.with_suffix(".html").name}"' in listed.read_text(encoding="utf-8")
