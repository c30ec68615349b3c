"""What a whole run saw of each task of an app of one's own: by what its effects were counted, how it failed.

From the run's own files, when the run ends; the report tells it.
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

#: What the error of a run begins with that called `sys.exit`.
EXIT = "SystemExit"


@dataclass(slots=True)
class Seen:
    """One task over all blocks."""

    #: How many effects of each kind; "completion" where the task notes none by itself.
    effects: dict[str, int] = field(default_factory=dict)
    #: Runs that ended by `sys.exit`.
    exits: int = 0
    #: Calls that failed for good, and the first one's error.
    failed: int = 0
    first_failure: str = ""


def tally(run: Path) -> dict[str, dict[str, Any]]:
    """What became of each task's calls in the events of a run directory."""
    found: dict[str, Seen] = {}
    for path in sorted(run.glob("events-*.jsonl")):
        events, _ = reader.read_events(path)
        _add(found, effects.counted(events))
    return {task: asdict(seen) for task, seen in found.items()}


def _add(found: dict[str, Seen], events: Iterable[Event]) -> None:
    for event in events:
        if event.get("scenario") is None or event["scenario"] in PERIODIC:
            continue
        seen = found.setdefault(str(event["scenario"]), Seen())
        if event["event"] == "effect":
            kind = str(event["kind"])
            seen.effects[kind] = seen.effects.get(kind, 0) + 1
        elif event["event"] == "raised" and str(event.get("error", "")).startswith(EXIT):
            seen.exits += 1
        elif event["event"] == "failed":
            seen.failed += 1
            seen.first_failure = seen.first_failure or str(event.get("error", ""))
