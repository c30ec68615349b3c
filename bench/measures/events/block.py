"""One measured block: its side and its window of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Nanoseconds in a millisecond and in a second.
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

#: One event as `bench.ledger.reader` reads it: `t`, `event` and the fields of `scenarios.ledger`.
Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One side in fresh processes, measured from `start_ns` up to but not including `end_ns`."""

    block: str
    side: str
    start_ns: int
    end_ns: int
    repetition: int = 0

    def holds(self, t: int) -> bool:
        """Whether the moment lies in the measured window."""
        return self.start_ns <= t < self.end_ns


def elapsed_ms(start: int | None, end: int | None) -> float:
    """Milliseconds from start to end; `inf` where the end never came, NaN where there is no start."""
    if start is None:
        return float("nan")
    return float("inf") if end is None else (end - start) / NS_PER_MS
