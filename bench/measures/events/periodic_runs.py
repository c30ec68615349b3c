"""The runs of a periodic sync: which end belongs to which start.

All runs of an owner share one job name. Where the side counts attempts, their number identifies a run;
elsewhere the order does: an end (done, cancelled, raised) belongs to the earliest start without one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from bench.measures.events.block import Event
from scenarios import jobs

#: The scenario of a tick of an entry of the user's own `beat_schedule`; its job is named as a sync's.
BEAT = "beat_schedule"
#: Scenarios that a schedule starts; no request hands their jobs over.
PERIODIC = frozenset({jobs.ACCOUNT_SYNC, BEAT})

_ENDS = ("done", "cancelled", "raised")


@dataclass(slots=True)
class Run:
    """One run: when it started, and when it was done (ns) or None."""

    start: int
    done: int | None = None


def runs_by_owner(events: Iterable[Event]) -> dict[str, list[Run]]:
    """Every owner's runs, each list ordered by start."""
    runs: dict[str, list[Run]] = defaultdict(list)
    open_runs: dict[tuple[str, object], deque[Run]] = defaultdict(deque)
    for event in sorted(events, key=lambda event: int(event["t"])):
        if event.get("scenario") not in PERIODIC or "job" not in event:
            continue
        owner = str(event["job"]).removesuffix(jobs.sync(""))
        waiting = open_runs[owner, event.get("attempt")]
        if event["event"] == "start":
            runs[owner].append(run := Run(int(event["t"])))
            waiting.append(run)
        elif event["event"] in _ENDS and waiting:
            ended = waiting.popleft()
            ended.done = int(event["t"]) if event["event"] == "done" else None
    return dict(runs)
