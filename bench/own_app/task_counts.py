"""Counts of a whole run for each task of the user's app: effects by kind, exits, failures.

Read from the run's event files when it ends, for the report.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.ledger import reader
from bench.measures.events.block import Event
from bench.measures.events.periodic_runs import PERIODIC
from bench.own_app import effects

#: How the error of a run begins that called `sys.exit`.
EXIT = "SystemExit"


@dataclass(slots=True)
class TaskCounts:
    """The counts of one task over all blocks."""

    #: Effects by kind; "completion" counts calls whose task recorded no effect.
    effects: dict[str, int] = field(default_factory=dict)
    #: Runs that ended by `sys.exit`.
    exits: int = 0
    #: Calls that failed for good, and the first one's error.
    failed: int = 0
    first_failure: str = ""


def tally(run: Path) -> dict[str, dict[str, Any]]:
    """The counts of each task, by its name, from the events of a run directory."""
    found: dict[str, TaskCounts] = {}
    for path in sorted(run.glob("events-*.jsonl")):
        events, _ = reader.read_events(path)
        _add(found, effects.counted(events))
    return {task: asdict(counts) for task, counts in found.items()}


def _add(found: dict[str, TaskCounts], events: Iterable[Event]) -> None:
    for event in events:
        if event.get("scenario") is None or event["scenario"] in PERIODIC:
            continue
        counts = found.setdefault(str(event["scenario"]), TaskCounts())
        if event["event"] == "effect":
            kind = str(event["kind"])
            counts.effects[kind] = counts.effects.get(kind, 0) + 1
        elif event["event"] == "raised" and str(event.get("error", "")).startswith(EXIT):
            counts.exits += 1
        elif event["event"] == "failed":
            counts.failed += 1
            counts.first_failure = counts.first_failure or str(event.get("error", ""))
