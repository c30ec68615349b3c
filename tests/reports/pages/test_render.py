from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import reports
from bench.schema import MANIFEST, MICRO, SCHEMA_VERSION, TABLES
from reports.data import formatting
from reports.data.run import read
from reports.pages.report import stamps
from tests.reports.page_words import words_of
from tests.reports.synthetic_run import manifest, plant, strike

HOSTILE = "<script>alert('x')</script>$\\frac{"


def text_of(folder: Path) -> str:
    """The report with every figure."""
    return reports.render(folder)[0].read_text(encoding="utf-8")


FILES = (*(f"{name}.csv" for name in TABLES), MICRO)


@pytest.mark.parametrize("absent", FILES)
def test_a_run_without_one_of_its_files_still_renders(run: Path, absent: str) -> None:
    (run / absent).unlink()
    assert "</html>" in words_of(run)
    assert reports.summary_text(run, form="terminal")


def test_a_run_with_nothing_but_a_manifest_says_what_is_absent_and_how_to_fill_it(tmp_path: Path) -> None:
    manifest(tmp_path)
    text = text_of(tmp_path)
    for measure in ("latency", "drift", "fault", "micro"):
        assert f"queue-or-task run --measure {measure}" in text
    assert "Not in this run: strikes of faults" in text


def test_tables_without_a_row_render(run: Path) -> None:
    for table in TABLES:
        plant(run, table, [])
    assert "Not in this run: the drift of each owner" in text_of(run)


@pytest.mark.parametrize("half", [0, 1])
def test_missing_columns_render_and_are_told(run: Path, half: int) -> None:
    for table, columns in TABLES.items():
        frame = pd.read_csv(run / f"{table}.csv", dtype=str)
        frame[list(columns[half::2])].to_csv(run / f"{table}.csv", index=False)
    text = text_of(run)
    assert all(f"{table}.csv lacks" in text for table in TABLES)


@pytest.mark.parametrize("value", ["inf", "", "nonsense", "-1", "0", "1e300", HOSTILE])
def test_tables_full_of_one_odd_value_render(run: Path, value: str) -> None:
    for table in TABLES:
        if table != "blocks":  # a block named as every other row would leave them all out
            plant(run, table, [dict.fromkeys(TABLES[table], value)] * 3)
    assert text_of(run).count("<script") == 1


@pytest.mark.parametrize("value", ["inf", "-inf", "", "0", "-1", "1e300"])
def test_odd_numbers_at_known_sides_render(run: Path, value: str) -> None:
    for table in ("jobs", "latency", "comparisons", "ticks", "drift", "cost"):
        frame = pd.read_csv(run / f"{table}.csv", dtype=str)
        for column in frame.columns[frame.columns.str.contains("ms|ns|ratio|low|high|value|pss|cpu")]:
            frame[column] = value
        frame.head(400).to_csv(run / f"{table}.csv", index=False)
    assert "</html>" in text_of(run)


def test_a_table_cut_off_in_mid_line_keeps_its_whole_lines(run: Path) -> None:
    path = run / "failures.csv"
    path.write_text(path.read_text()[:-40])
    assert judged_losses(run) == 40


def judged_losses(run: Path) -> int:
    rows = read(run).table("failures").query("side == 'inprocess' and fault == 10")
    return int(rows["lost"].sum())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1,2,3,4\n", b'"unclosed'])
def test_a_file_that_is_no_table_is_told_and_the_rest_stands(run: Path, content: bytes) -> None:
    (run / "jobs.csv").write_bytes(content)
    assert read(run).table("jobs").empty  # as where the file is absent, so its figure is not drawn
    text = words_of(run)
    assert "Failure matrix" in text
    assert "the responses of single jobs" in text


def test_a_line_with_too_many_fields_is_left_out_and_told(run: Path) -> None:
    with (run / "cost.csv").open("a") as file:
        file.write(",".join("1" * 40) + "\n")
    assert "cost.csv: 1 line(s) with too many fields left out" in words_of(run)


def test_a_directory_without_a_manifest_is_no_run(run: Path) -> None:
    (run / MANIFEST).unlink()
    with pytest.raises(reports.RunError, match="not a complete run"):
        reports.render(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "1"}', '{"schema": true}', "\x00"])
def test_a_manifest_that_names_no_schema_is_refused_in_one_line(run: Path, content: str) -> None:
    (run / MANIFEST).write_text(content)
    with pytest.raises(reports.RunError) as refused:
        reports.summary_text(run, form="terminal")
    assert "\n" not in str(refused.value)


def test_a_newer_schema_asks_for_an_upgrade(run: Path) -> None:
    manifest(run, schema=SCHEMA_VERSION + 1)
    with pytest.raises(reports.RunError, match="upgrade"):
        reports.render(run)


def test_a_manifest_with_fields_of_other_kinds_renders(run: Path) -> None:
    odd = {
        "scenarios": 3,
        "command": "text",
        "machine": [],
        "discarded": {"a": 1},
        "seed": None,
        "profile": None,
    }
    manifest(run, **odd)
    assert "</html>" in words_of(run)


def test_hostile_text_shows_as_text_wherever_it_comes_from(run: Path) -> None:
    manifest(
        run, run=HOSTILE, broker=HOSTILE, profile=HOSTILE, discarded=[{"pair": HOSTILE, "reason": HOSTILE}]
    )
    plant(run, "failures", [strike(note=HOSTILE, slug=HOSTILE, predicted=HOSTILE, fault=99, side=HOSTILE)])
    for table in ("jobs", "comparisons", "drift", "ticks"):
        frame = pd.read_csv(run / f"{table}.csv")
        for column in {"job", "scenario", "policy", "why", "owner"} & set(frame.columns):
            frame[column] = HOSTILE
        frame.to_csv(run / f"{table}.csv", index=False)
    (run / MICRO).write_text(json.dumps({"benchmarks": [{"name": HOSTILE, "stats": {"median": 1e-5}}]}))
    text = text_of(run)
    assert text.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert" in text


def test_a_whole_report_is_small_enough_to_pass_on(whole_report: Path) -> None:
    assert whole_report.stat().st_size < 1_500_000


def test_importing_reports_does_not_import_matplotlib() -> None:
    code = "import reports, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("fields", "stamp"),
    [
        ({"interrupted": True, "stopped_by": "full disk"}, "ended by a full disk: holds what was measured"),
        ({"interrupted": True, "stopped_by": "error"}, "ended by an error of the harness: holds what was"),
        ({"other_runs": 2}, "another run measured on the same machine at the same time"),
        ({"resumptions": [{"at": "2026-01-01"}]}, "resumed after an interruption, 1 time"),
    ],
)
def test_what_a_reader_must_know_of_a_run_is_stamped(run: Path, fields: dict[str, Any], stamp: str) -> None:
    manifest(run, **fields)
    assert any(stamp in text for text in stamps(read(run)))


def test_an_interrupted_run_is_stamped(run: Path) -> None:
    manifest(run, interrupted=True, finished_at=None)
    assert "interrupted: holds what was measured until then" in words_of(run)


def test_a_run_with_cut_ledger_lines_is_stamped(run: Path) -> None:
    lines = ("f10-0-inprocess", "events-7.jsonl, line 9"), ("f12-0-inprocess", "events-8.jsonl")
    manifest(run, cut_lines=[{"block": block, "line": line} for block, line in lines])
    assert "ledger lines cut off and left out: 2, the first of f10-0-inprocess" in words_of(run)


def test_a_run_over_several_hosts_is_stamped_with_what_it_does_not_tell(run: Path) -> None:
    manifest(run, external={"host": "A", "not told": "response, late"})
    assert "parts were elsewhere; not told: response, late" in words_of(run)
    manifest(run, external={"host": "A", "not told": "nothing"})
    assert "parts were elsewhere" not in words_of(run)


def test_unfinished_jobs_keep_the_curve_below_one(run: Path) -> None:
    from reports.figures.latency.ecdf import curves, steps

    stock = next(curve for curve in curves(read(run).table("jobs")) if curve.side == "celery-stock")
    assert stock.unfinished > 0
    assert steps(stock)[1][-1] == pytest.approx(1 - stock.unfinished / stock.total)


@pytest.mark.parametrize(
    ("hits", "trials", "bound"), [(0, 5, 0.4507), (0, 50, 0.0582), (1, 5, 0.6574), (5, 5, 1)]
)
def test_the_bound_is_clopper_pearsons(hits: int, trials: int, bound: float) -> None:
    assert formatting.upper_bound(hits, trials) == pytest.approx(bound, abs=1e-4)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.0421, "42.1 \N{MICRO SIGN}s"),
        (12.345, "12.3 ms"),
        (1234.0, "1.23 s"),
        (math.inf, "> limit"),
        (math.nan, formatting.NOTHING),
        (0.0, "0 ms"),
        (-3.21, "\N{MINUS SIGN}3.21 ms"),
    ],
)
def test_a_time_is_printed_in_the_unit_that_reads_best(value: float, printed: str) -> None:
    assert formatting.ms(value) == printed
