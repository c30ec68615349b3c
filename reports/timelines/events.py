"""Read the event log of one block for drawing; report and leave out what cannot be read.

The checker refuses a damaged log, because a verdict rests on it. No verdict rests on a picture, so every
whole line is used here. `bench` writes the files (`bench.schema`: `events-<block>.jsonl`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: One event: `t` in monotonic nanoseconds, `event`, and the other fields of its line.
Event = dict[str, Any]
#: Nanoseconds beyond which a time is a broken number: 300 years.
LATEST_NS = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The events of a block by time, and what could not be read; empty for nothing."""

    events: tuple[Event, ...]
    problem: str


def file_name(block: str) -> str:
    """The name of a block's event log within its run directory."""
    return f"events-{block}.jsonl"


def any_beside(directory: Path, blocks: Iterable[str]) -> bool:
    """Whether the log of any of these blocks is in the directory."""
    there = {path.name for path in directory.glob(file_name("*"))}
    return not there.isdisjoint(map(file_name, blocks))


def read(directory: Path, block: str) -> Log:
    """Return the log of `block`. Never raise: for an absent or empty file return no events and the reason."""
    name = file_name(block)
    if Path(name).name != name:  # a block's name comes from a table, and must not lead elsewhere
        return Log(events=(), problem=f"{block} is no name of a block")
    try:
        lines = (directory / name).read_bytes().split(b"\n")
    except FileNotFoundError:
        return Log(events=(), problem=f"{name} is not in the run directory")
    except (OSError, ValueError) as error:
        return Log(events=(), problem=f"{name} cannot be read: {getattr(error, 'strerror', None) or error}")
    written = [line for line in lines if line.strip(b"\0 \r")]
    events = [event for value in _values(written) if (event := _event(value)) is not None]
    if len({event.get("host") for event in events}) > 1:
        return Log(events=(), problem=f"{name} has stamps of two hosts, whose clocks cannot be compared")
    events.sort(key=lambda event: int(event["t"]))
    return Log(events=tuple(events), problem=_problem(name, len(written), len(events)))


def _problem(name: str, written: int, events: int) -> str:
    if not written:
        return f"{name} is empty"
    broken = written - events
    return f"{name}: {broken} of {written} lines cannot be read and are left out" if broken else ""


def _values(lines: Sequence[bytes]) -> list[Any]:
    """The value of each line; None for one that is cut off."""
    try:
        found: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")  # several times faster than each alone
    except (ValueError, RecursionError):
        found = []
    return found if len(found) == len(lines) else [_value(line) for line in lines]


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _event(value: Any) -> Event | None:
    """A line's value as an event, or None if it is not one."""
    if not isinstance(value, dict) or not isinstance(value.get("event"), str):
        return None
    t = value.get("t")
    whole = isinstance(t, int) and not isinstance(t, bool) and abs(t) < LATEST_NS
    return value if whole else None
