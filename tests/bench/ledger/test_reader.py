from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.ledger.reader import LedgerError, merge_block, read_events
from scenarios.ledger import Ledger


def write(file: Path, *times: int, tail: str = "") -> None:
    lines = "".join(json.dumps({"t": t, "event": "start", "file": file.stem}) + "\n" for t in times)
    file.write_text(lines + tail)


def test_the_files_of_the_processes_become_one_ordered_by_time(tmp_path: Path) -> None:
    write(tmp_path / "events-11.jsonl", 1, 4)
    write(tmp_path / "events-12.jsonl", 2, 3)
    target = tmp_path / "events-b001.jsonl"
    assert merge_block(tmp_path, target) == []
    events, warnings = read_events(target)
    assert [event["t"] for event in events] == [1, 2, 3, 4]
    assert warnings == []
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "events-11.jsonl",
        "events-12.jsonl",
        "events-b001.jsonl",
    ]


def test_a_second_merge_adds_nothing(tmp_path: Path) -> None:
    write(tmp_path / "events-11.jsonl", 1, 4)
    target = tmp_path / "events-b001.jsonl"
    merge_block(tmp_path, target)
    merge_block(tmp_path, target)
    assert len(read_events(target)[0]) == 2


def test_what_the_ledger_writes_is_read_back(tmp_path: Path) -> None:
    Ledger(tmp_path, {"block": "b001"}).record("start", t=7, job="u/crm")
    assert read_events(tmp_path)[0] == [{"t": 7, "event": "start", "job": "u/crm", "block": "b001"}]


@pytest.mark.parametrize(
    "tail",
    [
        '{"t": 3, "eve',
        '{"t": 3',
        "{",
        '{"t": 3}',
        '{"t": 3, "eve\0\0\0',
        '{"t": 3, "eve\0\0\0"start"}\n\0\0',
        '\0\0\0\0{"t": 3, "eve\0\0\0',
    ],
)
def test_a_last_line_that_was_cut_is_left_out_and_reported(tmp_path: Path, tail: str) -> None:
    write(tmp_path / "events-11.jsonl", 1, 2, tail=tail)
    events, warnings = read_events(tmp_path)
    assert [event["t"] for event in events] == [1, 2]
    assert len(warnings) == 1
    assert "events-11.jsonl:3" in warnings[0]


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "events-11.jsonl", 1, tail='{"t": 2, "event": "done"}')
    events, warnings = read_events(tmp_path)
    assert (len(events), warnings) == (2, [])


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    write(tmp_path / "events-11.jsonl", 1, tail='{"t": 2, "eve\n{"t": 3, "event": "done"}\n')
    with pytest.raises(LedgerError, match=r"events-11\.jsonl:2: not an event"):
        read_events(tmp_path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        read_events(tmp_path / "events-b009.jsonl")


def test_an_empty_folder_has_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path) == ([], [])


def test_a_damaged_ledger_leaves_an_earlier_merge_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "events-b001.jsonl"
    target.write_text("earlier\n")
    write(tmp_path / "events-11.jsonl", 1, tail="broken\n")
    with pytest.raises(LedgerError):
        merge_block(tmp_path, target)
    assert target.read_text() == "earlier\n"


def test_the_room_that_a_killed_process_had_reserved_is_passed_over(tmp_path: Path) -> None:
    lines = b'{"t": 1, "event": "start"}\n', b'{"t": 2, "event": "done"}\n'
    (tmp_path / "events-11.jsonl").write_bytes(bytes(40).join([*lines, b""]) + bytes(500))
    events, warnings = read_events(tmp_path)
    assert [event["t"] for event in events] == [1, 2]
    assert warnings == []


@given(cut=st.integers(0, 300), room=st.integers(0, 50))
def test_a_ledger_cut_anywhere_keeps_every_whole_line_and_reports_the_cut_one(cut: int, room: int) -> None:
    lines = [f'{{"t": {number}, "event": "start", "job": "u{number}"}}\n' for number in range(7)]
    whole = "".join(lines).encode()
    kept = whole[:cut]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "events-1.jsonl").write_bytes(kept + bytes(room))
        events, warnings = read_events(Path(folder))
    ends = [len("".join(lines[: number + 1])) for number in range(7)]
    # A line that lacks its newline alone is whole.
    assert [event["t"] for event in events] == [n for n, end in enumerate(ends) if len(kept) >= end - 1]
    is_cut = len(kept) not in {0, *ends, *(end - 1 for end in ends)}
    assert len(warnings) == is_cut
