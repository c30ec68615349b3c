"""The run directory."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.faults import FAULTS
from bench.schema import HAND_OVER_ALONE, SCHEMA, SCHEMA_VERSION, TABLES, join_texts, split_texts
from bench.storage.run_directory import RunDirectory


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "results", "quick", {"seed": 1})


def test_what_is_appended_block_by_block_is_read_back_as_one_table(directory: RunDirectory) -> None:
    directory.append("blocks", [{"block": "r00-inline", "valid": True}])
    directory.append(
        "blocks", [{"block": "r01-inline", "valid": False, "reason": 'a "reason", of two parts'}]
    )
    table = directory.table("blocks")
    assert list(table.columns) == list(TABLES["blocks"])
    assert table["reason"].tolist()[1] == 'a "reason", of two parts'
    assert table["valid"].tolist() == [True, False]


def test_a_column_that_the_schema_does_not_know_is_refused(directory: RunDirectory) -> None:
    with pytest.raises(ValueError, match="colour"):
        directory.append("blocks", [{"colour": "red"}])


def test_several_texts_are_one_cell_and_several_texts_again(directory: RunDirectory) -> None:
    directory.append(
        "failures", [{"block": "a", "note": ["3 retries", "half the time"]}, {"block": "b", "note": []}]
    )
    cells = directory.table("failures")["note"].tolist()
    assert [split_texts(cell) for cell in cells] == [["3 retries", "half the time"], []]
    with pytest.raises(ValueError, match="'a; b' holds '; '"):
        directory.append("failures", [{"note": ["a; b"]}])


def test_every_note_of_a_fault_can_be_written() -> None:
    notes = [expected.note for fault in FAULTS.values() for expected in fault.expected.values()]
    assert any(notes)
    assert [split_texts(join_texts([note])) for note in notes if note] == [[note] for note in notes if note]


def test_a_run_in_which_a_mails_caller_cost_contained_its_insert_has_none(directory: RunDirectory) -> None:
    figures = [
        {"block": "a", "scenario": scenario, "metric": metric, "value_ms": 1.0}
        for scenario in ("account_setup", "welcome_email")
        for metric in ("caller", "response")
    ]
    directory.append("latency", figures)
    directory.append("failures", [{"scenario": row["scenario"], "caller_max_ms": 2.0} for row in figures])
    assert len(directory.table("latency")) == 4
    directory.save_manifest(schema=HAND_OVER_ALONE - 1)
    latency = RunDirectory.open(directory.path).table("latency")
    assert latency["metric"].tolist() == ["caller", "response", "response"]
    assert RunDirectory.open(directory.path).table("failures")["caller_max_ms"].count() == 2


def test_a_table_begun_before_a_column_came_goes_on_without_it(directory: RunDirectory) -> None:
    older = [column.name for column in SCHEMA["blocks"].columns if not column.added]
    (directory.path / "blocks.csv").write_text(",".join(older) + "\n")
    directory.append("blocks", [{"block": "f10-0-inline", "valid": True, "fault": 10, "control": False}])
    table = directory.table("blocks")
    assert table["block"].tolist() == ["f10-0-inline"]
    assert table["fault"].isna().tolist() == [True]
    assert (directory.path / "blocks.csv").read_text().splitlines()[0] == ",".join(older)


def test_each_column_is_read_as_its_type(directory: RunDirectory) -> None:
    (directory.path / "jobs.csv").write_text(
        "block,job,due_ns,response_ms,outcome\n007,NA,12,fast,\n8,,13,1.5,done\n"
    )
    table = directory.table("jobs")
    assert table["block"].tolist() == ["007", "8"]
    assert table["job"].tolist() == ["NA", ""]
    assert table["due_ns"].tolist() == [12, 13]
    assert table["response_ms"].isna().tolist() == [True, False]
    assert table["outcome"].tolist() == ["", "done"]
    assert table["scenario"].tolist() == ["", ""], "a text column that the file lacks"
    assert table["caller_ms"].isna().all()


def test_infinity_survives_the_way_through_the_file(directory: RunDirectory) -> None:
    directory.append("jobs", [{"job": "a/crm", "response_ms": float("inf")}])
    assert directory.table("jobs")["response_ms"].tolist() == [float("inf")]


def test_an_absent_table_is_empty_and_has_its_columns(directory: RunDirectory) -> None:
    table = directory.table("drift")
    assert table.empty
    assert list(table.columns) == list(TABLES["drift"])
    directory.append_frame("drift", pd.DataFrame())
    assert not (directory.path / "drift.csv").exists()


def test_latest_points_at_the_run_that_was_last_finished(tmp_path: Path) -> None:
    first, second = (RunDirectory.create(tmp_path, profile, {}) for profile in ("smoke", "quick"))
    first.point_latest()
    second.point_latest()
    assert (tmp_path / "latest").resolve() == second.path.resolve()


def test_a_second_run_in_the_same_second_does_not_write_into_the_first(tmp_path: Path) -> None:
    made = [RunDirectory.create(tmp_path, "quick", {"seed": seed}) for seed in (1, 2)]
    assert made[0].path != made[1].path
    assert json.loads((made[0].path / "run.json").read_text())["seed"] == 1


def test_the_manifest_names_its_schema_and_opens_again(directory: RunDirectory) -> None:
    directory.save_manifest(interrupted=True)
    opened = RunDirectory.open(directory.path)
    assert opened.manifest["schema"] == SCHEMA_VERSION
    assert opened.manifest["interrupted"]
    assert [path.name for path in directory.path.iterdir()] == ["run.json"], "no half-written file beside it"


def test_a_folder_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="is not a complete run"):
        RunDirectory.open(tmp_path)
