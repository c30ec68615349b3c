"""Where the figures come from: the manifest in groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reports.data import formatting
from reports.data.run import Run

#: A name and what the manifest has under it.
Fact = tuple[str, str]
#: Fields that have a place of their own on the page.
ELSEWHERE = frozenset({"command", "instrument"})
#: Where each field of the manifest stands; any other stands under `_REST`.
_GROUPS = {
    "The run": (
        *("run", "profile", "seed", "started_at", "finished_at", "interrupted", "resumptions"),
        *("sides", "scenarios", "measures", "schema"),
    ),
    "Machine": ("machine", "limits", "external"),
    "Software": ("git", "versions", "broker", "database"),
    "Noise and what was left out": ("noise", "discarded", "cut_lines"),
    "Plan": ("plan",),
}
_REST = "Other"
#: Name of the broker that the project starts: Redis, or Valkey, which does as Redis does.
_REDIS = "Redis server"
#: What the manifest's short names mean, with their units.
_NAMES = {
    "aa_floor_percent": "A/A noise floor, %",
    "calm_s": "seconds without heavy jobs",
    "commit": "commit",
    "cut_lines": "ledger lines cut off",
    "dirty": "uncommitted changes",
    "discarded": "pairs left out",
    "drain_limit_s": "drain limit, s",
    "drift_s": "drift block, s",
    "finished_at": "finished",
    "hogs_s": "seconds with heavy jobs",
    "idle_hiccup_p99_ms": "hiccup p99 when idle, ms",
    "idle_s": "idle control, s",
    "lanes": "fault blocks at the same time",
    "latency_s": "latency block, s",
    "load_before": "load average before (1, 5, 15 min)",
    "memory_gb": "memory, GB",
    "owners": "sync owners in a latency block",
    "rate": "rate, requests a second",
    "repetitions": "pairs of latency blocks",
    "retry_scale": "retry schedule, share of its time",
    "share_s": "load block, s",
    "shares": "loads, shares of capacity",
    "started_at": "started",
    "strikes": "strikes of each fault at each side",
    "system": "kernel",
    "warmup_s": "warm-up, s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Facts that belong together."""

    title: str
    facts: tuple[Fact, ...]


def provenance(run: Run) -> tuple[Group, ...]:
    """Every field of the manifest once, in groups; a group without a fact is left out."""
    known = {field for fields in _GROUPS.values() for field in fields} | ELSEWHERE
    rest = tuple(field for field in run.manifest if field not in known)
    found = [
        Group(title=title, facts=tuple(fact for field in fields for fact in _facts(run, field)))
        for title, fields in (*_GROUPS.items(), (_REST, rest))
    ]
    return tuple(group for group in found if group.facts)


def _facts(run: Run, field: str) -> Iterator[Fact]:
    if field not in run.manifest:
        return
    value = run.manifest[field]
    if field == "discarded" and value == []:
        yield _name(field), "none"
    elif field == "cut_lines":
        yield from _flat(_name(field), run.cut_lines)
    elif field == "broker" and not run.mapping("own_app"):  # an app's own need not be a Redis server
        yield from _flat(_REDIS, value)
    elif field in {"plan", "machine", "git", "versions", "noise"} and isinstance(value, Mapping):
        yield from (fact for key, item in value.items() for fact in _flat(_name(str(key)), item))
    else:
        yield from _flat(_name(field), value)
    if field == "finished_at":
        yield "took", _duration(run)


def _name(key: str) -> str:
    return _NAMES.get(key, key.replace("_", " "))


def _flat(name: str, value: Any) -> Iterator[Fact]:
    if isinstance(value, Mapping) and name == _name("aa_figure"):
        yield name, " ".join(map(str, value.values()))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{name}: {_name(str(key))}", item)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value, 1):
            yield f"{name}, {number}", "; ".join(f"{_name(str(key))} {text}" for key, text in item.items())
    elif isinstance(value, list):
        if value:
            yield name, ", ".join(map(str, value))
    else:
        yield name, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return formatting.NOTHING if value is None else str(value)


def _duration(run: Run) -> str:
    try:
        start, end = (datetime.fromisoformat(run.text(name) or "") for name in ("started_at", "finished_at"))
        return formatting.seconds((end - start).total_seconds())
    except (TypeError, ValueError):
        return formatting.NOTHING
