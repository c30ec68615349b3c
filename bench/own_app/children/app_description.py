"""What a child process tells of an app (`bench.own_app.children.describe`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of `beat_schedule`; `seconds` where its period is fixed."""

    name: str
    task: str
    schedule: str
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the app has."""

    #: Of each task that was asked for: how it is called.
    signatures: dict[str, str]
    #: Queues that its tasks and entries go to.
    queues: list[str]
    entries: list[Entry]
    #: The app's own broker and result store, without passwords; empty where it has none.
    broker: str
    results: str
    #: Settings that it makes, and those among them that only a queue needs.
    settings: list[str]
    queue_settings: list[str]
    #: Pool and concurrency of its workers, and when they acknowledge: what a reader wants to know first.
    worker: dict[str, Any]
    #: Whether any of its modules has imported `bench.hooks`.
    hooked: bool
