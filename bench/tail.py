"""Reading a block's ledger while its processes still write it: each line once."""

from __future__ import annotations

import json
from pathlib import Path

from bench.ledger_io import EventDict


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
                fresh = lines.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._read[file] = self._read.get(file, 0) + len(whole)
            self._events.extend(json.loads(line) for line in whole.splitlines())
        return self._events
