from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest

from bench.analysis.run_comparison import compare_runs
from bench.errors import BenchError
from bench.schema import COMPARED, SCHEMA_VERSION, TABLES

MACHINE = {"cores": 2, "memory_gb": 8.0, "processor": "x", "system": "Linux", "load_before": [0.1]}


def run(
    path: Path,
    values: list[float],
    *,
    invalid: tuple[int, ...] = (),
    hiccup_ms: float | None = None,
    figure: Mapping[str, Any] = MappingProxyType({}),
    **manifest: Any,
) -> Path:
    """A run with one figure in so many blocks; `figure` changes columns of `latency.csv`."""
    path.mkdir()
    whole = {"schema": SCHEMA_VERSION, "seed": 1, "machine": MACHINE, **manifest}
    (path / "run.json").write_text(json.dumps(whole))
    own = {"side": "inprocess", "scenario": "welcome_email", "metric": "response", "quantile": 0.5, "n": 90}
    latency = [
        {"block": f"r{repetition}", "repetition": repetition, "value_ms": value, **own, **figure}
        for repetition, value in enumerate(values)
    ]
    blocks = [
        {"block": f"r{number}", "measure": "latency", "valid": number not in invalid}
        | {"hiccup_p99_ms": hiccup_ms}
        for number in range(len(values))
    ]
    for name, rows in (("latency", latency), ("blocks", blocks)):
        pd.DataFrame(rows, columns=list(TABLES[name])).to_csv(path / f"{name}.csv", index=False)
    return path


BASE = [100.0, 120, 90, 110, 105]
SLOWER = [value * 1.5 for value in BASE]


def test_runs_of_one_machine_and_seed_are_paired_by_repetition(tmp_path: Path) -> None:
    loaded = {**MACHINE, "load_before": [9.0]}
    found = compare_runs(run(tmp_path / "a", BASE), run(tmp_path / "b", SLOWER, machine=loaded))
    table, lines = found.table, found.lines
    row = table.iloc[0]
    assert list(table.columns) == list(COMPARED)
    assert (row["words"], row["a"], row["b"]) == ("higher", 105, 157.5)
    assert row["low"] == pytest.approx(1.5)
    assert "paired by repetition" in lines
    assert any("105 ms  157.5 ms    1.5" in line and line.endswith("higher") for line in lines)


def test_two_runs_need_as_many_pairs_as_the_less_demanding_of_their_plans(
    tmp_path: Path,
) -> None:
    full: list[dict[str, Any]] = [{"plan": {"least_pairs": 10}}, {"plan": {"least_pairs": 10}}]
    said = []
    for number, plans in enumerate((full, [full[0], {}])):
        a, b = (tmp_path / f"{name}{number}" for name in "ab")
        table = compare_runs(run(a, BASE, **plans[0]), run(b, SLOWER, **plans[1])).table
        said.append((table["words"].item(), table["pairs"].item()))
    assert said == [("too few pairs", 5), ("higher", 5)]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 2}, "seed"),
        ({"machine": {**MACHINE, "cores": 8}}, "machine"),
        ({"plan": {"rate": 20.0}}, "load"),
    ],
)
def test_runs_of_another_seed_or_machine_are_not_paired(
    tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    found = compare_runs(run(tmp_path / "a", BASE), run(tmp_path / "b", SLOWER, **change))
    table, lines = found.table, found.lines
    row = table.iloc[0]
    assert f"unpaired: the runs differ in {word}" in lines
    assert row["ratio"] == pytest.approx(1.5)
    assert row["high"] / row["low"] > 1.1


def test_other_versions_and_another_commit_are_told_and_leave_the_pairs(tmp_path: Path) -> None:
    a: dict[str, Any] = {
        "versions": {"celery": "5.6.0", "python": "3.12"},
        "git": {"commit": "a" * 40, "dirty": False},
    }
    b: dict[str, Any] = {
        "versions": {"celery": "5.7.0", "python": "3.12"},
        "git": {"commit": "b" * 40, "dirty": True},
    }
    lines = compare_runs(run(tmp_path / "a", BASE, **a), run(tmp_path / "b", SLOWER, **b)).lines
    assert lines[2:5] == [
        "paired by repetition",
        "celery: 5.6.0 → 5.7.0",
        "commit: aaaaaaaaaa → bbbbbbbbbb with changes",
    ]


def test_runs_of_different_length_can_be_compared_unpaired(tmp_path: Path) -> None:
    table = compare_runs(run(tmp_path / "a", BASE), run(tmp_path / "b", [200.0] * 9, seed=2)).table
    assert table.iloc[0]["words"] == "higher"


def test_blocks_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    b = run(tmp_path / "b", [*BASE[:4], 9e9], invalid=(4,))
    table = compare_runs(run(tmp_path / "a", BASE), b).table
    assert table.iloc[0]["ratio"] == 1


def test_a_run_that_did_not_finish_its_jobs_says_so(tmp_path: Path) -> None:
    found = compare_runs(run(tmp_path / "a", BASE), run(tmp_path / "b", [math.inf] * 5))
    table, lines = found.table, found.lines
    assert table.iloc[0]["words"] == "higher"
    assert any("> limit" in line for line in lines)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_hiccups_of_a_machine_raise_no_figure_and_limit_tails_alone(tmp_path: Path, seed: int) -> None:
    a, b = [4.0, 4.1, 4.2, 4.0], [8.0, 8.2, 8.4, 8.0]
    for quantile, words in ((0.5, "higher"), (0.99, "no clear difference")):
        c, d = (
            run(
                tmp_path / f"{name}{quantile}",
                values,
                hiccup_ms=9.0,
                seed=own,
                figure={"quantile": quantile, "n": 400},
            )
            for name, values, own in (("c", a, 1), ("d", b, seed))
        )
        row = compare_runs(c, d).table.iloc[0]
        assert (row["words"], row["under_hiccup"]) == (words, quantile == 0.99)
        assert row["ratio"] == pytest.approx(2)


def test_a_run_compared_with_itself_or_with_a_copy_is_the_same_run(tmp_path: Path) -> None:
    a = run(tmp_path / "a", BASE, run="r", started_at="2026-01-01T00:00:00+00:00")
    shutil.copytree(a, tmp_path / "copy")
    for other in (a, tmp_path / "copy"):
        found = compare_runs(a, other)
        assert set(found.table["words"]) == {"the same run"}
        assert found.how == "the same run"
    later = run(tmp_path / "b", BASE, run="r", started_at="2026-01-02T00:00:00+00:00")
    assert set(compare_runs(a, later).table["words"]) == {"no clear difference"}


def test_quantiles_of_blocks_with_too_few_requests_have_no_ratio(tmp_path: Path) -> None:
    """40 requests of account set-up are 80 jobs: enough for p90, too few for p95; earlier runs count jobs."""
    for requests in (40, math.nan):
        figure = {"scenario": "account_setup", "n": 80, "requests": requests, "quantile": 0.95}
        made = {
            name: run(tmp_path / f"{name}{requests}", values, figure=figure)
            for name, values in (("a", BASE), ("b", SLOWER))
        }
        with pytest.raises(BenchError, match="share no figure"):
            compare_runs(made["a"], made["b"])
    figure = {"scenario": "account_setup", "n": 80, "quantile": 0.9}
    p90 = [run(tmp_path / name, BASE, figure=figure) for name in "cd"]
    assert len(compare_runs(*p90).table) == 1


def test_the_printed_table_is_aligned_and_has_the_differences_first(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", BASE), run(tmp_path / "b", BASE)
    for path, factor in ((a, 1.0), (b, 2.0)):
        rows = pd.read_csv(path / "latency.csv")
        slower = rows.assign(side="inline", value_ms=rows["value_ms"] * factor / 1000)
        few = rows[rows["repetition"] < 3].assign(side="celery-stock")
        caller = slower.assign(metric="caller")
        pd.concat([rows, few, caller]).to_csv(path / "latency.csv", index=False)
    found = compare_runs(a, b)
    assert found.table["words"].tolist() == ["higher", "no clear difference", "too few pairs"]
    heading, first, _, last = (line for line in found.lines if "   " in line)
    assert first.startswith("welcome e-mail, inline control, caller cost p50")
    assert last.endswith("too few pairs (3 of 4)")
    for column in ("A", "B", "B / A", "95 % interval", "margin"):
        end = heading.index(f"  {column}") + 2 + len(column)
        assert first[end - 1] != " ", column
        assert first[end : end + 2] == "  "
    assert heading.index("in words") == first.index("higher") == last.index("too few")
    assert "105 µs" in first
    assert "210 µs" in first
    assert "Holm's correction over the 2 comparisons" in found.lines[-1]


def test_another_schema_is_a_clear_error(tmp_path: Path) -> None:
    older = run(tmp_path / "a", BASE, schema=SCHEMA_VERSION - 1)
    with pytest.raises(BenchError, match=f"has schema {SCHEMA_VERSION - 1} and .* has {SCHEMA_VERSION}"):
        compare_runs(older, run(tmp_path / "b", BASE))


def test_a_folder_that_is_no_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="not a complete run"):
        compare_runs(run(tmp_path / "a", BASE), tmp_path / "nothing")


def test_runs_that_share_no_figure_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="share no figure"):
        compare_runs(run(tmp_path / "a", BASE), run(tmp_path / "b", []))
