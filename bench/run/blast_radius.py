"""The blast radius of every strike that has a control run: `blast.csv`, from the run's own files."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.faults.spec import DEADLINE_MS
from bench.ledger import reader
from bench.ledger.job_names import PROBE
from bench.measures.faults.blast import blast
from bench.schema import TABLES
from bench.storage.run_directory import RunDirectory
from scenarios.jobs import WELCOME_EMAIL

#: The scenario that no fault aims at, whose jobs are the bystanders.
BYSTANDER = WELCOME_EMAIL


def blasts(directory: RunDirectory) -> pd.DataFrame:
    """One row for each strike that has a control run and jobs of bystanders in both."""
    struck, controls = directory.table("failures"), directory.table("controls")
    by_fault = {(row["fault"], row["side"]): row for row in _of_bystanders(controls)}
    rows = [
        _row(directory, row, by_fault[row["fault"], row["side"]])
        for row in _of_bystanders(struck)
        if (row["fault"], row["side"]) in by_fault
    ]
    return pd.DataFrame(rows, columns=list(TABLES["blast"]))


def _of_bystanders(table: pd.DataFrame) -> list[dict[str, Any]]:
    if table.empty:
        return []
    own = table[(table["scenario"] == BYSTANDER) & (table["submitted"] > 0)]
    return [{str(name): value for name, value in row.items()} for row in own.to_dict("records")]


def _row(directory: RunDirectory, struck: dict[str, Any], control: dict[str, Any]) -> dict[str, Any]:
    found = blast(
        _events(directory, struck["block"]),
        _events(directory, control["block"]),
        scenario=BYSTANDER,
        deadline_ms=DEADLINE_MS,
        struck_lag_ms=struck["lag_max_ms"],
        control_lag_ms=control["lag_max_ms"],
    )
    names = {name: struck[name] for name in ("block", "fault", "side", "strike", "scenario")}
    return {
        **names,
        **found.harms,
        "unserved": found.unserved,
        "response_p50_ms": found.response_p50_ms,
        "lag_ms": found.lag_ms,
    }


def _events(directory: RunDirectory, block: str) -> list[dict[str, Any]]:
    """The block's events without the probes': how long a side takes to get going is no harm of the fault."""
    events, _ = reader.read_events(directory.path / f"events-{block}.jsonl")
    return [event for event in events if PROBE not in str(event.get("job", ""))]
