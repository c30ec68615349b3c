"""Thresholds: what they mean, what they refuse, and the exit code that CI sees."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.threshold_results import threshold_results
from bench.analysis.threshold_syntax import metrics, parse
from bench.cli.commands import main
from bench.errors import BenchError
from bench.schema import SCHEMA_VERSION, TABLES
from bench.storage.run_directory import RunDirectory

SIDES = {"inprocess": (100.0, 120.0, 110.0), "celery-stock": (190.0, math.inf, 210.0)}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    (tmp_path / "run.json").write_text(json.dumps({"schema": SCHEMA_VERSION, "seed": 1}))
    names = {side: [f"r{number}-{side}" for number in range(3)] for side in SIDES}
    tables: dict[str, list[dict[str, Any]]] = {
        "blocks": [{"block": "bad", "valid": False}, {"block": "f", "valid": True}]
        + [{"block": name, "valid": True} for blocks in names.values() for name in blocks],
        "latency": [
            {"block": name, "side": side, "scenario": "welcome_email", "metric": "response"}
            | {"quantile": 0.99, "value_ms": value, "n": 400, "requests": 400}
            for side, values in SIDES.items()
            for name, value in zip([*names[side], "bad"], [*values, 1e9], strict=True)
        ],
        "failures": [
            {"block": "f", "side": side, "scenario": scenario, "fault": 12, "lost": lost, "t_90_s": 2.5}
            for side, lost in (("inprocess", 1), ("celery-stock", 0))
            for scenario in ("welcome_email", "account_setup")
        ],
        "cost": [{"block": "f", "side": "inprocess", "pss_mb": 80.0}],
    }
    for name, rows in tables.items():
        pd.DataFrame(rows, columns=list(TABLES[name])).to_csv(tmp_path / f"{name}.csv", index=False)
    return RunDirectory.open(tmp_path)


def paired(run: RunDirectory) -> None:
    """Give the blocks their repetitions, the bad one of its own."""
    latency = run.table("latency").assign(repetition=[0, 1, 2, 9, 0, 1, 2, 9])
    latency.to_csv(run.path / "latency.csv", index=False)


def met(run: RunDirectory, text: str) -> list[bool]:
    return [result.met for result in threshold_results(run, parse(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p99(response) < 200ms", [False, True]),
        ("p99(response){side=inprocess} < 0.2s", [True]),
        ("p99(response){side=inprocess} < 110", [False]),
        (" p99( response ){ side = inprocess , scenario=welcome_email }<=110000us ", [True]),
        ("lost == 0", [False, True, False, True]),
        ("lost{side=celery-stock, fault=12} == 0", [True, True]),
        ("lost{fault=12, scenario=account_setup} <= 1", [True, True]),
        ("t_90_s{side=inprocess} < 2600ms", [True, True]),
        ("sum(lost) != 7", [True] * 4),
        ("pss_mb < 1e2MB", [True]),
        ("p50(response) < 1s", [False]),  # not measured
        ("p99(response){side=inline} > 0", [False]),
        ("missed == 0", [False]),
    ],
)
def test_a_threshold_speaks_of_every_subject_that_its_filter_leaves(
    run: RunDirectory, text: str, expected: list[bool]
) -> None:
    assert sorted(met(run, text)) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p99(respnse) < 200ms", "no metric is called 'respnse': did you mean response"),
        ("sum(seen) < 1", "seen is a distribution, say which quantile"),
        ("sum(example) < 1", "example of failures.csv is no number"),
        ("max(scenario) < 1", "scenario of jobs.csv is no number"),
        ("app_died == 0", "app_died of failures.csv is no number"),
        ("p99(lag) < 1ms", "lag is no figure of latency.csv"),
        ("capacity_per_s > 9", "capacity_per_s of capacity.csv is no figure that a threshold can name"),
        ("lots == 0", "no metric is called 'lots': did you mean lost"),
        ("zzzz == 0", "choose from accepted, "),
        ("response < 200ms", "response is a distribution, say which quantile"),
        ("p98(response) < 200ms", "p50, p90, p95, p99, p99.9"),
        ("p99(lost) == 0", "choose from sum, min, median, max"),
        ("lost == 0ms", "lost is not measured in 'ms': use a bare number"),
        ("p99(response) < 200MB", "response is not measured in 'MB': use us, ms or s"),
        ("p99(response) < 200 parsecs", "is not measured in 'parsecs'"),
        ("p99(response){side} < 1", "'side' is no filter: write scenario=…; scenario, side"),
        ("p99(response){fault=1} < 1", "'fault=1' is no filter"),
        ("lost = 0", "cannot be read"),
        ("lost", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_is_near(text: str, told: str) -> None:
    with pytest.raises(BenchError) as error:
        parse(text)
    assert told in str(error.value)


@given(st.sampled_from(sorted(metrics())), st.floats(0, 1e9), st.sampled_from(["<", "<=", ">", ">=", "=="]))
def test_every_metric_can_be_written_and_means_what_it_says(metric: str, limit: float, sign: str) -> None:
    is_distribution = metrics()[metric] == "latency"
    text = f"{f'p95({metric})' if is_distribution else metric} {sign} {limit!r}"
    found = parse(text)
    assert (found.metric, found.operator, found.limit) == (metric, sign, limit)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(BenchError, match="threshold"):
        parse(f"{text} ?")


def call(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.output


def test_a_quantile_of_the_side_alone_is_numbers_and_says_how_many_requests_it_needs(
    run: RunDirectory,
) -> None:
    assert parse("p99(seen) < 1s").table == "latency"
    [result] = threshold_results(run, parse("p99(seen) < 1s"))
    assert "not measured, p99 needs 368 requests in a block (any side)" in result.line
    [result] = threshold_results(run, parse("sum(bursts) == 0"))
    assert "not measured (" in result.line


def test_ci_sees_the_exit_code_and_reads_why(run: RunDirectory) -> None:
    path = str(run.path)
    assert call("check", path, "-t", "lost{side=celery-stock} == 0")[0] == 0
    code, told = call("check", path, "-t", "lost == 0", "-t", "p99(response) < 1s")
    assert code == 99
    assert "CROSSED lost == 0: 1 (account_setup inprocess 12)" in told
    assert "CROSSED p99(response) < 1s" not in told.replace("> limit", "")
    assert call("check", path, "-t", "lots == 0")[0] == 2
    assert call("check", path)[0] == 2


def test_compare_holds_the_second_run_against_thresholds(run: RunDirectory) -> None:
    paired(run)
    path = str(run.path)
    assert call("compare", path, path, "--no-worse")[0] == 0
    assert call("compare", path, path, "-t", "lost == 0")[0] == 99
    assert call("compare", path, path, "-t", "lots == 0")[0] == 2


def ratios(run: RunDirectory, text: str) -> dict[str, float]:
    return {result.subject: result.value for result in threshold_results(run, parse(text))}


def test_a_ratio_of_two_sides_is_the_median_over_their_pairs(run: RunDirectory) -> None:
    paired(run)
    [(subject, value)] = ratios(run, "p99(response){inprocess/celery-stock} < 0.6").items()
    assert subject == "welcome_email inprocess/celery-stock 3 pairs"
    assert value == pytest.approx(110 / 210)
    assert met(run, "p99(response){inprocess/celery-stock, scenario=welcome_email} < 0.6") == [True]
    assert met(run, "p99(response){side=celery-stock/inprocess} < 0.6") == [False]


def test_a_ratio_without_pairs_is_that_of_the_figures_and_says_so(run: RunDirectory) -> None:
    [(subject, value)] = ratios(
        run, "max(t_90_s){celery-stock/inprocess, scenario=welcome_email} < 2"
    ).items()
    assert (subject, value) == ("welcome_email 12 celery-stock/inprocess unpaired", 1.0)


def test_a_ratio_to_nothing_is_not_measured_and_so_not_met(run: RunDirectory) -> None:
    assert met(run, "lost{inprocess/celery-stock, scenario=welcome_email} < 1") == [False]
    assert met(run, "p99(response){inprocess/celery-hardened} < 9") == [False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99(response){inproces/celery-stock} < 1", "no side is called 'inproces': did you mean inprocess"),
        ("p99(response){inprocess/celery-stock} < 1ms", "a ratio of two sides has no unit: leave out 'ms'"),
    ],
)
def test_a_ratio_that_cannot_be_had_is_refused(text: str, said: str) -> None:
    with pytest.raises(BenchError, match=re.escape(said)):
        parse(text)
