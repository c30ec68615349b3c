"""Reading a ledger that is still being written."""

from __future__ import annotations

from pathlib import Path

from bench.ledger.tail import BLOCK_BYTES, LedgerTail
from scenarios.ledger import RESERVED_BYTES, Ledger


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


def test_a_ledger_that_reserves_room_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    tail, kept = LedgerTail(tmp_path), Ledger(tmp_path, {"text": "x" * 300})
    for number in range(3_000):
        kept.record("start", t=number, job="j")
        if number % 100 == 0:
            assert [event["t"] for event in tail.events()] == list(range(number + 1))
    assert len(tail.events()) == 3_000


def test_a_line_of_which_the_middle_is_not_there_yet_waits(tmp_path: Path) -> None:
    file = tmp_path / "events-1.jsonl"
    file.write_bytes(b'{"t": 1, "event": "submit"}\n{"t": 2, \0\0\0 "submit"}\n' + bytes(100))
    tail = LedgerTail(tmp_path)
    assert [event["t"] for event in tail.events()] == [1]
    file.write_bytes(b'{"t": 1, "event": "submit"}\n{"t": 2, "event": "submit"}\n' + bytes(100))
    assert [event["t"] for event in tail.events()] == [1, 2]


def test_one_look_sees_every_line_whatever_room_the_windows_leave_between_them(tmp_path: Path) -> None:
    kept = Ledger(tmp_path, {"text": "x" * 300})
    lines = 3 * RESERVED_BYTES // 400
    for number in range(lines):
        kept.record("start", t=number, job="j")
    assert RESERVED_BYTES % BLOCK_BYTES == 0  # a block ends with the first window, in what it left free
    assert len(LedgerTail(tmp_path).events()) == lines
