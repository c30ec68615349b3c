"""The description of a Celery app that a child process prints (`bench.own_app.children.describe`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleEntry:
    """One entry of `beat_schedule`; `seconds` is its period, None where the schedule is no fixed period."""

    name: str
    task: str
    schedule: str
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDescription:
    """The tasks, queues, schedule and settings of one app."""

    #: The signature of each requested task, by the task's name.
    signatures: dict[str, str]
    #: The queues that its tasks and schedule entries are routed to.
    queues: list[str]
    entries: list[ScheduleEntry]
    #: URLs of the app's own broker and result backend, without passwords; empty for none.
    broker: str
    results: str
    #: Settings that differ from Celery's defaults, and those among them that only a queue needs.
    settings: list[str]
    queue_settings: list[str]
    #: The settings of its workers that the report shows.
    worker: dict[str, Any]
