"""Reduces the effects of each call to one kind: one recorded by `bench.hooks`, or its completion. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bench.hooks import COMPLETION
from bench.measures.events.block import Event


def counted(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events, with one kind and subject of effect for each job: the most frequent one.

    A task may record several effects, such as a mail and a row. The job is done twice where one of them came
    twice. A recorded effect counts before the completion.
    """
    chosen = {job: _most_frequent(effects) for job, effects in _effects(events).items()}
    return [
        event
        for event in events
        if event["event"] != "effect" or "kind" not in event or _subject(event) == chosen[event["job"]]
    ]


def _effects(events: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        if event["event"] == "effect" and "kind" in event:
            found.setdefault(str(event["job"]), []).append(event)
    return found


def _most_frequent(effects: Iterable[Event]) -> tuple[str, str]:
    counts = Counter(_subject(effect) for effect in effects)
    return max(counts, key=lambda each: (counts[each], each[0] != COMPLETION))


def _subject(effect: Event) -> tuple[str, str]:
    return str(effect["kind"]), str(effect.get("of", ""))
