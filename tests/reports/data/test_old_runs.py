"""A run of an earlier version, with sentences where today's has columns, renders to the same page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import reports
from bench.schema import HAND_OVER_ALONE, REPORT, SCHEMA, SUMMARY_JSON, SUMMARY_MD, Table
from reports.data.frames import records
from reports.data.run import read
from reports.pages.instrument import instrument
from tests.reports.synthetic_run import manifest, plant, strike

#: What a run of today tells of its instrument, of its noise and of its ledger.
TODAY: dict[str, Any] = {
    "instrument": {
        "known truth": "1 of 3 held, 1 of 3 NOT HELD, 1 of 3 too noisy to say",
        "verified at": "2000-01-01T00:00:00+00:00",
        "verified commit": "0" * 40,
        "truths": [
            {
                "truth": "50 ms later",
                "figures": "50 → 51.9 ms (may be off by 1)",
                "outcome": "held",
                "why": "",
            },
            {"truth": "every 7th dropped", "figures": "5 → 4 jobs", "outcome": "NOT HELD", "why": ""},
            {"truth": "A/A", "figures": "0 → 3 runs", "outcome": "too noisy to say", "why": "busy: (2 of 3)"},
        ],
    },
    "noise": {
        "aa_factor": 1.06,
        "aa_figure": {
            "side": "inprocess",
            "scenario": "account_setup",
            "metric": "response",
            "quantile": 0.5,
        },
    },
    "cut_lines": [
        {"block": "f10-0-inprocess", "line": "events-7.jsonl:9: cut"},
        {"block": "f12-0-inprocess", "line": "events-8.jsonl:3: cut"},
    ],
}
#: The same, as an earlier version wrote it.
EARLIER: dict[str, Any] = {
    "instrument": {
        "known truth": "1 of 3 held, 1 of 3 NOT HELD, 1 of 3 too noisy to say",
        "verified at": "2000-01-01T00:00:00+00:00",
        "verified commit": "0" * 40,
        "50 ms later": "50 → 51.9 ms (may be off by 1): held",
        "every 7th dropped": "5 → 4 jobs: NOT HELD",
        "A/A": "0 → 3 runs: too noisy to say (busy: (2 of 3))",
    },
    "noise": {"aa_factor": 1.06, "aa_figure": "inprocess account_setup response 0.5"},
    "cut_lines": ["f10-0-inprocess: events-7.jsonl:9: cut", "f12-0-inprocess: events-8.jsonl:3: cut"],
}
FILES = (REPORT, SUMMARY_JSON, SUMMARY_MD)


def added(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.added]


def struck(run: Path) -> None:
    """Add strikes of two replicas, and blocks of faults that do not count."""
    replicas = strike(fault=29, slug="two-replicas", scenario="account_sync", accepted=0)
    rows = [
        replicas | {"block": "f29-0-inprocess", "bursts": 12, "seen": "missed 0; bursts 12; step repaid"},
        replicas | {"block": "f29-1-inprocess", "strike": 1, "bursts": 0, "seen": "bursts 0"},
        replicas | {"block": "f29-0-celery-stock", "side": "celery-stock", "bursts": "", "seen": "no counts"},
    ]
    failures = pd.read_csv(run / "failures.csv", dtype=str, keep_default_na=False)
    plant(run, "failures", [*records(failures), *rows])
    left_out = {"measure": "fault", "side": "celery-stock", "valid": False, "reason": "could not be made"}
    blocks = pd.read_csv(run / "blocks.csv", dtype=str, keep_default_na=False)
    plant(
        run,
        "blocks",
        [
            *records(blocks),
            {**left_out, "block": "f12-3-celery-stock", "fault": 12, "control": False},
            {**left_out, "block": "f12-c-celery-stock", "fault": 12, "control": True},
            {**left_out, "block": "f37-0-celery-stock", "fault": 37, "control": False},
        ],
    )


def rendered(run: Path) -> list[bytes]:
    reports.render(run)
    # the summary names the manifest that it was made from by its digest
    return [b"".join((run / name).read_bytes().split(read(run).fingerprint.encode())) for name in FILES]


def test_a_run_of_an_earlier_version_renders_to_the_same_page(run: Path) -> None:
    struck(run)
    manifest(run, **TODAY)
    today = rendered(run)
    for table in SCHEMA.values():
        frame = pd.read_csv(run / f"{table.name}.csv", dtype=str, keep_default_na=False)
        frame.drop(columns=added(table)).to_csv(run / f"{table.name}.csv", index=False)
    manifest(run, **EARLIER)
    assert read(run).problems == ()
    assert rendered(run) == today
    text = today[0].decode()
    assert "in-process: 12 ticks twice within half an interval" in text
    assert "1 control run left out: could not be made; 1 strike left out: could not be made" in text
    assert "1.06\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN} in the median response of account set-up" in text


@pytest.mark.parametrize(
    "found", [{"truths": "none"}, {"truths": [7, {"outcome": 9}]}, {"a": None}, {"truths": [{"figures": []}]}]
)
def test_an_instrument_of_another_shape_renders(run: Path, found: dict[str, Any]) -> None:
    manifest(run, instrument=found)
    assert instrument(read(run)).failed == 0


def test_the_caller_cost_of_a_mail_that_contained_its_insert_is_not_measured(run: Path) -> None:
    struck(run)
    manifest(run, schema=HAND_OVER_ALONE - 1)
    old = read(run)
    manifest(run, schema=HAND_OVER_ALONE)
    now = read(run)
    for name in ("latency", "comparisons"):
        kept, every = (found.table(name) for found in (old, now))
        of_mail = (every["scenario"] == "welcome_email") & (every["metric"] == "caller")
        assert of_mail.any()
        pd.testing.assert_frame_equal(kept, every[~of_mail])
    for name, column in (("jobs", "caller_ms"), ("failures", "caller_max_ms")):
        by_scenario = old.table(name).groupby("scenario")[column].count()
        assert by_scenario.get("welcome_email", 0) == 0
        assert by_scenario["account_setup"] > 0


def test_too_few_pairs_are_told_from_noise_in_a_run_that_called_both_too_noisy(tmp_path: Path) -> None:
    manifest(tmp_path)
    same = {"words": "too noisy to say", "scenario": "welcome_email"}
    rows = [
        same | {"pairs": 3, "why": "3 pairs of blocks, 4 are needed"},
        same | {"pairs": 4, "why": "the interval 0.5 to 3 is wider than a factor 1.5"},
    ]
    older = [column.name for column in SCHEMA["comparisons"].columns if not column.added]
    pd.DataFrame(rows, columns=older).to_csv(tmp_path / "comparisons.csv", index=False)
    found = read(tmp_path).table("comparisons")
    assert found["words"].tolist() == ["too few pairs", "too noisy to say"]
    assert found["pairs_needed"].tolist()[0] == 4


def test_only_columns_at_the_end_of_a_table_were_added() -> None:
    for table in SCHEMA.values():
        late = [column.added for column in table.columns]
        assert late == sorted(late), f"{table.name}: a column that is added goes to the end"
