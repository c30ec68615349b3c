"""The effects of a call, counted: what the task noted by `bench.hooks`, or its completion. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bench.hooks import COMPLETION
from bench.measures.events.block import Event


def counted(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events, with the effects of one kind and subject left of each job: those that came most often.

    A task may note several effects, a mail and a row; done once, the job is done once, and a job is
    done twice where one of them is. What a task notes goes before its completion.
    """
    most = {job: _most(effects) for job, effects in _effects(events).items()}
    return [
        event
        for event in events
        if event["event"] != "effect" or "kind" not in event or _what(event) == most[event["job"]]
    ]


def _effects(events: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        if event["event"] == "effect" and "kind" in event:
            found.setdefault(str(event["job"]), []).append(event)
    return found


def _most(effects: Iterable[Event]) -> tuple[str, str]:
    counts = Counter(_what(effect) for effect in effects)
    return max(counts, key=lambda what: (counts[what], what[0] != COMPLETION))


def _what(effect: Event) -> tuple[str, str]:
    return str(effect["kind"]), str(effect.get("of", ""))
