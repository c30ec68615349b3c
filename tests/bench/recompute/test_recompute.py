from __future__ import annotations

import ast
import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from bench.measures.events.block import Block
from bench.measures.faults import exposure, failure
from bench.measures.latency import latency
from bench.measures.periodic import drift
from bench.measures.statistics.comparison import comparisons
from bench.recompute import jobs, periodic
from bench.recompute.__main__ import main
from bench.recompute.quantiles import holm, quantile, ratio
from bench.recompute.recomputation import Recomputation
from bench.schema import SIDES, TABLES
from tests.reports.synthetic_run import manifest

ROOT = Path(__file__).parents[3]
MS = 1_000_000
SECOND = 1000 * MS
SCENARIO = "account_setup"
ROUNDS = 4


def event(kind: str, at_ms: float, **fields: Any) -> dict[str, Any]:
    return {"t": int(at_ms * MS), "event": kind, "scenario": SCENARIO, **fields}


def job_events(
    number: int, due_ms: float, took_ms: float | None, *, effects: int = 1
) -> list[dict[str, Any]]:
    """A request of account set-up: its two jobs are accepted 1 ms after due, and done after `took_ms`."""
    user = f"u{number}"
    found = [
        event("due", due_ms, request=user),
        event("request", due_ms + 0.1, request=user),
        event("response", due_ms + 2, request=user, status=202),
    ]
    for part in ("crm", "fulfillment"):
        job = f"{user}/{part}"
        found += [event("submit", due_ms + 0.5, job=job), event("accepted", due_ms + 1, job=job)]
        if took_ms is not None:
            found.append(event("start", due_ms + 1.5, job=job, attempt=1))
            found += [event("effect", due_ms + took_ms + extra, job=job) for extra in range(effects)]
            found.append(event("done", due_ms + took_ms + 1, job=job, attempt=1))
    return found


def latency_events(side: str, repetition: int) -> list[dict[str, Any]]:
    slower = 20 + 5 * SIDES.index(side) + repetition
    return [one for k in range(100) for one in job_events(k, 10 * k, slower + k % 7)]


def struck_events() -> list[dict[str, Any]]:
    """Ten requests; the app is killed at 95 ms, which loses the last, and two jobs are done twice."""
    found = [one for k in range(9) for one in job_events(k, 10 * k, 5.0, effects=2 if k == 3 else 1)]
    found += job_events(9, 90, None)
    marks = [{"t": 95 * MS, "event": kind, "fault": 10} for kind in ("fault_on", "fault_off")]
    return sorted([*found, *marks], key=lambda one: one["t"])


def sync_events() -> list[dict[str, Any]]:
    found = []
    for k in range(12):
        start = 1000 * k * 1.0005 + 3
        names = {"scenario": "account_sync", "job": "o/sync", "attempt": k}
        found += [{**event("start", start), **names}, {**event("done", start + 20), **names}]
    return found


def write_events(folder: Path, block: str, events: list[dict[str, Any]]) -> None:
    (folder / f"events-{block}.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in events))


def write_table(folder: Path, table: str, frame: pd.DataFrame) -> None:
    frame.reindex(columns=list(TABLES[table])).to_csv(folder / f"{table}.csv", index=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose tables the harness made of its events; tests only read it."""
    tmp_path = tmp_path_factory.mktemp("recompute")
    manifest(tmp_path, sides=["inprocess", "celery-stock"])
    blocks, frames = [], []
    for repetition in range(ROUNDS):
        for side in ("inprocess", "celery-stock"):
            name, events = f"r{repetition:02}-{side}", latency_events(side, repetition)
            block = Block(block=name, side=side, start_ns=0, end_ns=SECOND, repetition=repetition)
            frames.append(
                latency.latency_frame(
                    latency.job_frame(events, block), latency.request_frame(events, block), block
                )
            )
            write_events(tmp_path, name, events)
            blocks.append(
                {
                    "block": name,
                    "measure": "latency",
                    "side": side,
                    "repetition": repetition,
                    "end_ns": SECOND,
                }
            )
    struck, syncs = struck_events(), sync_events()
    write_events(tmp_path, "f10-0-inprocess", struck)
    write_events(tmp_path, "d00-inprocess", syncs)
    blocks += [
        {"block": "f10-0-inprocess", "measure": "fault", "side": "inprocess", "end_ns": SECOND},
        {"block": "d00-inprocess", "measure": "drift", "side": "inprocess", "end_ns": 12 * SECOND},
    ]
    write_table(tmp_path, "blocks", pd.DataFrame(blocks).assign(start_ns=0, valid=True))
    values = pd.concat(frames)
    write_table(tmp_path, "latency", values)
    found = comparisons(values, baseline="inprocess", sides=["inprocess", "celery-stock"])
    write_table(tmp_path, "comparisons", found)
    names = {"block": "f10-0-inprocess", "fault": 10, "side": "inprocess", "scenario": SCENARIO, "strike": 0}
    judged = failure.judge(struck, scenario=SCENARIO, deadline_ms=5000)
    counts = {name: len(members) for name, members in (*judged.acceptance.items(), *judged.classes.items())}
    flags = {name: len(members) for name, members in judged.flags.items()}
    more = {"submitted": judged.submitted, "caller_max_ms": judged.caller_max_ms, "user_errors": 0}
    write_table(tmp_path, "failures", pd.DataFrame([names | counts | flags | more]))
    reached = exposure.exposure(struck, scenario=SCENARIO, from_ns=95 * MS, until_ns=95 * MS)
    lost = {name: len(getattr(reached, name)) for name in ("exposed", "lost", "unanswered")}
    write_table(tmp_path, "exposure", pd.DataFrame([names | lost]))
    window = Block(block="d00-inprocess", side="inprocess", start_ns=0, end_ns=12 * SECOND)
    _, rows = drift.drift_frames(syncs, window, policy="anchored", interval_ns=SECOND)
    write_table(tmp_path, "drift", rows)
    return tmp_path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "run")


def recomputed(run: Path) -> Recomputation:
    found = Recomputation(run)
    found.check()
    return found


def changed(run: Path, table: str, column: str, value: str, row: int = 0) -> None:
    path = run / f"{table}.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    rows[row][column] = value
    pd.DataFrame(rows).to_csv(path, index=False)


def test_a_run_whose_tables_follow_from_its_events_agrees(run: Path) -> None:
    found = recomputed(run)
    assert found.disagreements == []
    assert found.compared > 100


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("latency", "value_ms"),
        ("failures", "lost"),
        ("failures", "duplicated"),
        ("failures", "accepted"),
        ("exposure", "exposed"),
        ("drift", "drift_ppm"),
        ("drift", "age_p99_ms"),
        ("drift", "missed"),
        ("comparisons", "ratio"),
        ("comparisons", "low"),
    ],
)
def test_a_figure_that_does_not_follow_is_printed_with_both_values(
    run: Path, table: str, column: str
) -> None:
    changed(run, table, column, "4321")
    (line, *_) = recomputed(run).disagreements
    assert line.startswith(table)
    assert "the run has 4321, recomputed " in line


def test_a_ratio_that_was_raised_to_a_floor_is_found(run: Path) -> None:
    with (run / "latency.csv").open() as file:
        place = next(k for k, row in enumerate(csv.DictReader(file)) if row["metric"] == "caller")
    changed(run, "latency", "value_ms", "3.0", place)
    assert any("caller" in line for line in recomputed(run).disagreements)


def test_a_direction_against_its_ratio_is_found(run: Path) -> None:
    with (run / "comparisons.csv").open() as file:
        place = next(k for k, row in enumerate(csv.DictReader(file)) if row["metric"] == "response")
    changed(run, "comparisons", "words", "lower", place)
    assert any(": lower: the run has 0, recomputed 1" in line for line in recomputed(run).disagreements)


def test_a_number_of_the_first_screen_that_no_event_bears_out_is_found(run: Path) -> None:
    told = {"scenario": SCENARIO, "sentence": "in-process lost 2 of 2 exposed jobs", "marks": []}
    summary: dict[str, Any] = {"figures": [], "faults": [], "verdicts": [told]}
    (run / "summary.json").write_text(json.dumps(summary))
    assert recomputed(run).disagreements == []
    told["sentence"] = "in-process lost 1 of 2 exposed jobs"
    (run / "summary.json").write_text(json.dumps(summary))
    assert recomputed(run).disagreements == [
        "first screen, account_setup: 'lost 1 of 2' is no figure recomputed",
        "first screen, account_setup: '1 of 2 exposed' is no figure recomputed",
    ]


def test_a_side_without_a_counted_block_has_no_cost_on_the_first_screen(run: Path) -> None:
    medians = [
        {"key": f"{metric}_p50", "scenario": SCENARIO, "side": side, "policy": "", "value": None, "n": 0}
        for metric in ("caller", "response")
        for side in ("celery-hardened", "inline")
    ]
    sentence = "in-process lost 2 of 2 exposed jobs"
    told: dict[str, Any] = {"scenario": SCENARIO, "sentence": sentence, "marks": []}
    summary: dict[str, Any] = {"figures": medians, "faults": [], "verdicts": [told]}
    (run / "summary.json").write_text(json.dumps(summary))
    assert recomputed(run).disagreements == []
    told["marks"] = [{"text": "median response 4321 ms"}]
    (run / "summary.json").write_text(json.dumps(summary))
    assert recomputed(run).disagreements == [
        "first screen, account_setup: 'response 4321 ms' is no figure recomputed"
    ]


def test_a_run_without_its_events_says_what_is_not_computed(run: Path) -> None:
    for path in run.glob("events-*.jsonl"):
        path.unlink()
    found = recomputed(run)
    assert found.disagreements == []
    assert found.notes[0].startswith("no event logs")


def test_the_program_exits_1_where_a_figure_differs_and_2_without_a_run(run: Path, tmp_path: Path) -> None:
    assert main([str(run)]) == 0
    assert main([str(tmp_path / "nowhere")]) == 2
    changed(run, "failures", "lost", "7")
    command = [sys.executable, "-m", "bench.recompute", str(run)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "lost: the run has 7, recomputed 2" in done.stdout


def test_the_recomputation_imports_nothing_of_ours() -> None:
    for path in (ROOT / "bench" / "recompute").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = [name for name in names if name.split(".")[0] in {"bench", "reports", "scenarios"}]
            assert all(name.startswith("bench.recompute") for name in ours), path


def test_quantiles_are_linear_and_infinite_next_to_an_unfinished_job() -> None:
    assert quantile([4.0, 1.0, 2.0, 3.0], 0.5) == 2.5
    assert quantile([1.0, 2.0, math.inf], 0.9) == math.inf


def test_a_ratio_has_the_interval_of_the_paired_t_test() -> None:
    base, side = [1.0, 2.0, 4.0, 3.0], [2.1, 3.9, 8.4, 5.5]
    found = ratio(base, side)
    test = stats.ttest_1samp([math.log(b / a) for a, b in zip(base, side, strict=True)], 0)
    low, high = test.confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((math.exp(low), math.exp(high)))
    assert found["p"] == pytest.approx(test.pvalue)
    assert ratio([1.0, 1.0], [math.inf, math.inf])["ratio"] == math.inf


def test_holm_multiplies_the_smallest_by_all_and_never_falls() -> None:
    assert holm([0.01, math.nan, 0.04, 0.03])[0::2] == pytest.approx([0.03, 0.06])
    assert math.isnan(holm([0.01, math.nan])[1])


def test_a_sync_every_second_is_between_its_work_and_a_second_more_old() -> None:
    runs = periodic.runs_of(sync_events())["o"]
    row = periodic.drift_row(runs, 0, 12 * SECOND, SECOND)
    assert row["drift_ppm"] == pytest.approx(500, abs=1)
    assert (row["ticks_due"], row["missed"], row["duplicates"]) == (11, 0, 0)
    assert 1000 < row["age_p99_ms"] < row["age_max_ms"] < 1030


def test_jobs_are_in_one_class_each_and_the_unanswered_in_none() -> None:
    events = [
        event("request", 1, request="u0"),
        event("submit", 1, job="u0/crm"),
        event("accepted", 2, job="u0/crm"),
    ]
    counts = jobs.failure_counts(list(jobs.jobs_of(events).values()))
    assert (counts["accepted"], counts["unknown"], counts["lost"]) == (0, 2, 0)
