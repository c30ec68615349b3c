"""Reading a ledger that is still being written."""

from __future__ import annotations

from pathlib import Path

from bench.tail import LedgerTail


def test_each_line_is_read_once_and_a_line_under_way_when_it_is_whole(tmp_path: Path) -> None:
    tail = LedgerTail(tmp_path)
    assert tail.events() == []
    first = tmp_path / "events-1.jsonl"
    first.write_text('{"t": 1, "event": "submit"}\n{"t": 2, "ev')
    assert [event["t"] for event in tail.events()] == [1]
    with first.open("a") as file:
        file.write('ent": "accepted"}\n')
    (tmp_path / "events-2.jsonl").write_text('{"t": 3, "event": "effect"}\n')
    assert sorted(event["t"] for event in tail.events()) == [1, 2, 3]
    assert sorted(event["t"] for event in tail.events()) == [1, 2, 3]
