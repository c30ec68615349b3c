from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from bench.analysis.comparison_page import page_path, summary
from bench.analysis.report_program import display_path
from bench.analysis.run_comparison import Compared
from bench.analysis.threshold_syntax import parse
from bench.cli.commands import main
from bench.cli.run_command import check_thresholds
from bench.schema import CHECKS, COMPARED, SCHEMA_VERSION, TABLES


def run(path: Path, values: list[float], **manifest: Any) -> Path:
    """A run with one figure in so many blocks."""
    path.mkdir(parents=True)
    (path / "run.json").write_text(
        json.dumps({"schema": SCHEMA_VERSION, "run": path.name, "seed": 1, **manifest})
    )
    figure = {
        "side": "inprocess",
        "scenario": "welcome_email",
        "metric": "response",
        "quantile": 0.5,
        "n": 90,
    }
    latency = [
        figure | {"block": f"r{number}", "repetition": number, "value_ms": value}
        for number, value in enumerate(values)
    ]
    blocks = [{"block": f"r{number}", "measure": "latency", "valid": True} for number in range(len(values))]
    for name, rows in (("latency", latency), ("blocks", blocks)):
        pd.DataFrame(rows, columns=list(TABLES[name])).to_csv(path / f"{name}.csv", index=False)
    return path


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def one_line(done: Result) -> str:
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    return line


BASE = [100.0, 120, 90, 110, 105]


def test_compare_prints_the_figures_and_writes_a_page_and_its_figures_beside_the_first_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = run(tmp_path / "a", BASE), run(tmp_path / "b", [value * 1.5 for value in BASE])
    done = call("compare", str(a), str(b))
    assert (done.exit_code, done.stderr) == (0, "")
    page = tmp_path / "compare-a-b.html"
    assert "paired by repetition" in done.stdout
    assert capfd.readouterr().out == f"side by side: {display_path(page)}\n"
    assert "Of 1 figure in B: 1 higher." in page.read_text(encoding="utf-8")
    found = json.loads(page.with_suffix(".json").read_text())
    assert (found["a"], found["b"], found["how"]) == ("a", "b", "paired by repetition")
    assert [tuple(row) for row in found["rows"]] == [COMPARED]


def test_the_file_leads_to_both_runs_from_where_it_lies_and_is_json_without_nan(tmp_path: Path) -> None:
    row = dict.fromkeys(COMPARED, math.nan) | {"b": math.inf, "words": "too noisy to say"}
    table = pd.DataFrame([row], columns=list(COMPARED))
    compared = Compared(a=tmp_path / "x" / "a", b=tmp_path / "y" / "b", table=table, how="", others=())
    found = summary(compared, tmp_path / "x")
    assert (found["a"], found["b"]) == ("a", "../y/b")
    (figures,) = json.loads(json.dumps(found, allow_nan=False))["rows"]
    assert (figures["a"], figures["b"], figures["words"]) == (None, "inf", "too noisy to say")


def test_a_page_that_nobody_named_bears_the_real_names_of_both_runs(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "latest").symlink_to("second")
    found = page_path(tmp_path / "first", tmp_path / "latest")
    assert found == display_path(tmp_path / "compare-first-second.html")


def test_a_page_goes_where_it_is_asked_to_and_must_be_called_one(tmp_path: Path) -> None:
    a = run(tmp_path / "a", BASE)
    assert "let it end in .html" in one_line(
        call("compare", str(a), str(a), "--out", str(tmp_path / "page.json"))
    )
    assert "use --out" in one_line(
        call("compare", str(a), str(a), "--out", str(tmp_path / "nowhere" / "p.html"))
    )
    assert call("compare", str(a), str(a), "--out", str(tmp_path / "page.html")).exit_code == 0
    assert (tmp_path / "page.html").exists()


def test_two_runs_of_different_schemas_are_refused_in_one_line(tmp_path: Path) -> None:
    older = run(tmp_path / "a", BASE, schema=SCHEMA_VERSION - 1)
    assert "measure the older one again" in one_line(
        call("compare", str(older), str(run(tmp_path / "b", BASE)))
    )
    assert not list(tmp_path.glob("compare-*"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'"unclosed', b"a,b\n1,2,3\n4,5,6,7\n", b"a\n1\n"])
def test_a_table_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    a, b = run(tmp_path / "a", BASE), run(tmp_path / "b", BASE)
    (b / "latency.csv").write_bytes(content)
    assert str(b) in one_line(call("compare", str(a), str(b)))


def test_a_manifest_with_fields_of_other_kinds_is_compared_unpaired_or_not_at_all(tmp_path: Path) -> None:
    a = run(tmp_path / "a", BASE, machine={"cores": 2}, plan={"rate": 10})
    b = run(tmp_path / "b", BASE, machine=[], plan=3, versions="no", git=None)
    done = call("compare", str(a), str(b))
    assert done.exit_code == 0
    assert "unpaired: the runs differ in machine and load" in done.stdout


def test_what_a_threshold_found_is_noted_in_the_run_for_its_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(tmp_path / "a", BASE)
    assert not check_thresholds(path, [parse("p50(response) < 200ms"), parse("lost == 0")])
    assert "CROSSED" in capsys.readouterr().out
    assert json.loads((path / CHECKS).read_text()) == [
        {"text": "p50(response) < 200ms", "subject": "welcome_email inprocess", "value": 105.0, "met": True},
        {"text": "lost == 0", "subject": "any side", "value": None, "met": False},
    ]


def test_a_run_that_cannot_be_written_is_held_against_thresholds_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(tmp_path / "a", BASE)
    (path / CHECKS).mkdir()
    assert check_thresholds(path, [parse("p50(response) < 200ms")])
    assert "not noted in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "begins"), [("md", "### queue-or-task: unknown run a"), ("json", '{\n  "summary": 1,')]
)
def test_a_report_in_short_is_printed_and_nothing_is_written(
    tmp_path: Path, form: str, begins: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = run(tmp_path / "a", BASE)
    before = sorted(tmp_path.rglob("*"))
    done = call("report", str(path), "--format", form)
    printed = capfd.readouterr()  # by the program that it has started
    assert (done.exit_code, printed.err) == (0, "")
    assert printed.out.startswith(begins)
    assert sorted(tmp_path.rglob("*")) == before
