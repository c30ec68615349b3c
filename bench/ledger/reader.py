"""Reading the event log of a block, and joining the files of its processes into one.

A process that was killed may leave a last line that was cut: it is left out and reported, with
its file and line. A line that is broken anywhere else means that the file is damaged, and a
verdict must not rest on it: LedgerError. Zero bytes around a line are room that the ledger had
reserved (`scenarios.ledger`) and mean nothing; within a line they mean that it was cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.atomic_write import write_atomically

#: One event as it is read: `t` in monotonic nanoseconds, `event`, and the fields of `scenarios.ledger`.
EventDict = dict[str, Any]
#: What a ledger's file holds where nothing was written yet.
RESERVED = b"\0"


class LedgerError(ValueError):
    """An event log that cannot be read; the text names the file, the line and what to do."""


def read_events(source: Path) -> tuple[list[EventDict], list[str]]:
    """The events of a file, or of every `events-*.jsonl` in a folder, ordered by `t`; and warnings.

    Each last line that is cut off gives a warning. Raise LedgerError if `source` is missing or damaged.
    """
    if source.is_dir():
        return _read_all(source.glob("events-*.jsonl"))
    return _read_all([source])


def merge_block(folder: Path, target: Path) -> list[str]:
    """Join the files of the processes in `folder` (`events-<pid>.jsonl`) into `target`, ordered by `t`.

    The target appears whole or not at all; the files of the processes stay. The warnings are
    those of `read_events`.
    """
    events, warnings = _read_all(folder.glob("events-[0-9]*.jsonl"))
    write_atomically(target, "".join(f"{json.dumps(event)}\n" for event in events))
    return warnings


def _read_all(files: Iterable[Path]) -> tuple[list[EventDict], list[str]]:
    events: list[EventDict] = []
    warnings: list[str] = []
    for file in sorted(files):
        _read_file(file, events, warnings)
    events.sort(key=lambda event: int(event["t"]))
    return events, warnings


def _read_file(file: Path, events: list[EventDict], warnings: list[str]) -> None:
    try:
        lines = file.read_bytes().rstrip(RESERVED).split(b"\n")
    except OSError as error:
        raise LedgerError(f"{file}: cannot be read ({error.strerror}); is this a run's event log?") from error
    last = max((number for number, line in enumerate(lines, start=1) if line), default=0)
    for number, padded in enumerate(lines, start=1):
        line = padded.lstrip(RESERVED)
        event = parse(line)
        if event is not None:
            events.append(event)
        elif number == last and _is_cut(line, ended=number < len(lines)):
            warnings.append(f"{file}:{number}: the last line was cut and is left out")
        elif line:
            raise LedgerError(f"{file}:{number}: not an event; the file is damaged, measure this block again")


def _is_cut(line: bytes, *, ended: bool) -> bool:
    """Whether the process was killed while it wrote: the newline is missing, or a part in the middle."""
    return not ended or RESERVED in line


def parse(line: bytes) -> EventDict | None:
    """The event of a line, or None where it is none."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    known = (
        isinstance(event, dict) and isinstance(event.get("t"), int) and isinstance(event.get("event"), str)
    )
    return event if known else None
