"""TEST INPUT, not a result: event logs of blocks, made of a few jobs whose fate is known.

Times are seconds from the beginning of the block. A job is its name and its events in order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BLOCK = "f10-0-inprocess"
SCENARIO = "account_setup"
#: Where the block's clock stands at its beginning: any number.
ORIGIN_NS = 5_000_000_000

Events = list[dict[str, Any]]


def event(kind: str, at_s: float, job: str = "", **fields: Any) -> dict[str, Any]:
    """One line of a log; `job` without the block's name before it."""
    named = {"scenario": SCENARIO, "job": f"{BLOCK}-{job}"} if job else {}
    return {"t": ORIGIN_NS + round(at_s * 1e9), "event": kind, **named, **fields}


def strike(on_s: float = 3.0, off_s: float = 4.0) -> Events:
    """The fault's beginning and end."""
    return [event("fault_on", on_s, fault=10), event("fault_off", off_s, fault=10)]


def job(name: str, at_s: float, *kinds: str, step_s: float = 0.01) -> Events:
    """A job whose events follow each other by `step_s`."""
    return [event(kind, at_s + step_s * number, name) for number, kind in enumerate(kinds)]


def fate(name: str, at_s: float, found: str) -> Events:
    """A job that the checker finds to be `found`."""
    accepted = job(name, at_s, "submit", "accepted")
    after = at_s + 0.1
    return {
        "done_once": [*accepted, *job(name, after, "start", "effect", "done")],
        "duplicated": [*accepted, *job(name, after, "start", "effect", "done", "start", "effect", "done")],
        "failed_visibly": [
            *accepted,
            *job(name, after, "start", "raised"),
            event("failed", after + 1, name, where="log", error="no answer"),
        ],
        "stuck": [*accepted, event("held", 9, name, where="queue")],
        "lost": accepted,
        "late": [*accepted, *job(name, at_s + 5.1, "start", "effect", "done")],
        "ghost": [*job(name, at_s, "submit", "refused"), event("effect", after, name)],
        "unexpected": [event("effect", at_s, name)],
        "refused": job(name, at_s, "submit", "refused"),
        "unknown": job(name, at_s, "submit"),
        "cancelled": [*accepted, *job(name, after, "start", "cancelled", "start", "effect", "done")],
    }[found]


def struck(lost: int, jobs: int = 10) -> Events:
    """The log of a strike with so many jobs, of which the first `lost` are lost."""
    fates = ["lost" if number < lost else "done_once" for number in range(jobs)]
    made = [fate(f"{number:06}/crm", 2.5 + number / 10, found) for number, found in enumerate(fates)]
    return [event for events in (*made, strike()) for event in events]


def write(folder: Path, events: Sequence[Mapping[str, Any]], block: str = BLOCK) -> Path:
    """Write the log of a block, whose jobs are named after it, and return its path."""
    path = folder / f"events-{block}.jsonl"
    ordered = sorted(events, key=lambda event: int(event["t"]))
    path.write_text("".join(f"{json.dumps(event)}\n" for event in ordered).replace(BLOCK, block))
    return path
