from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.run.blast_radius import blasts
from bench.schema import TABLES
from bench.storage.run_directory import RunDirectory
from scenarios.jobs import ACCOUNT_SETUP, WELCOME_EMAIL

MS = 1_000_000


def write(run: RunDirectory, table: str, block: str, *, lost: int, lag_ms: float, mails: int = 10) -> None:
    """A block of ten mails of which so many are lost, and its two rows."""
    events: list[dict[str, Any]] = []
    for number in range(mails):
        fields = {"scenario": WELCOME_EMAIL, "job": f"{block}-{number}/email"}
        events += [{"t": number, "event": event, **fields} for event in ("submit", "accepted")]
        if number >= lost:
            events.append({"t": number + 20 * MS, "event": "effect", **fields})
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (run.path / f"events-{block}.jsonl").write_text(lines)
    shared = {"block": block, "fault": 6, "side": "inprocess", "strike": 0, "lag_max_ms": lag_ms}
    rows = [
        {**shared, "scenario": ACCOUNT_SETUP, "submitted": 4},
        {**shared, "scenario": WELCOME_EMAIL, "submitted": mails},
    ]
    run.append(table, rows)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "smoke", {"sides": ["inprocess"]})


def test_a_strike_is_set_against_its_control(run: RunDirectory) -> None:
    write(run, "failures", "f06-0-inprocess", lost=3, lag_ms=2004.0)
    write(run, "controls", "f06-c-inprocess", lost=0, lag_ms=4.0)
    [row] = blasts(run).to_dict("records")
    assert (row["block"], row["scenario"], row["strike"]) == ("f06-0-inprocess", WELCOME_EMAIL, 0)
    assert row["lost"] == pytest.approx(0.3)
    assert (row["stuck"], row["unserved"], row["lag_ms"]) == (0, 0, 2000)


def test_without_a_control_or_without_bystanders_there_is_no_row(run: RunDirectory) -> None:
    write(run, "failures", "f06-0-inprocess", lost=3, lag_ms=1.0)
    assert list(blasts(run).columns) == list(TABLES["blast"])
    assert blasts(run).empty
    write(run, "controls", "f06-c-inprocess", lost=0, lag_ms=1.0, mails=0)
    assert blasts(run).empty


def test_the_probe_that_tried_whether_a_side_was_up_is_no_bystander(run: RunDirectory) -> None:
    write(run, "failures", "f06-0-inprocess", lost=0, lag_ms=1.0)
    write(run, "controls", "f06-c-inprocess", lost=0, lag_ms=1.0)
    probe = {"scenario": WELCOME_EMAIL, "job": "f06-0-inprocess-probe-1e/email"}
    with (run.path / "events-f06-0-inprocess.jsonl").open("a") as log:
        log.writelines(
            json.dumps({"t": 1, "event": event, **probe}) + "\n" for event in ("submit", "accepted")
        )
    [row] = blasts(run).to_dict("records")
    assert row["lost"] == 0
