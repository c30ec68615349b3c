"""Reading a block's ledger while its processes still write it: each line once."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from bench.ledger.reader import RESERVED, EventDict, parse

#: Bytes read at a time: of the room that a ledger has reserved no more than this is looked at.
BLOCK_BYTES = 16_384


class LedgerTail:
    """The events of a folder so far; every look reads only what is new since the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._events: list[EventDict] = []

    def events(self) -> list[EventDict]:
        """Every whole line so far, as found; a line that is under way comes next time."""
        for file in self._folder.glob("events-*.jsonl"):
            with file.open("rb") as lines:
                lines.seek(self._read.get(file, 0))
                fresh = _written(lines)
            for line in fresh.split(b"\n")[:-1]:
                event = parse(line.lstrip(RESERVED))
                if event is None:
                    break
                self._events.append(event)
                self._read[file] = self._read.get(file, 0) + len(line) + 1
        return self._events


def _written(file: BinaryIO) -> bytes:
    """What follows in the file, up to a block of reserved room alone.

    One that merely ends in such room is not the end: a window of the ledger closes with the bytes that were
    too few for its last line, and the next window begins behind them.
    """
    blocks = [file.read(BLOCK_BYTES)]
    while blocks[-1].strip(RESERVED):
        blocks.append(file.read(BLOCK_BYTES))
    return b"".join(blocks)
