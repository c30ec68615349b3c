"""Loads the app in a child process of a block, with its broker and result backend replaced.

The harness passes an `AppSpec` as JSON in QUEUE_OR_TASK_OWN. Unless the run has `--use-app-broker`, nothing
that the app sends can reach its own broker: Celery's variables (CELERY_BROKER_URL and its like, which
override any setting) are set before the import, and the settings after it. Results, where the app stores
any, go to the broker that the run started.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from celery import Celery

from bench.own_app.children.loading import load

VARIABLE = "QUEUE_OR_TASK_OWN"
#: The message header that names the schedule entry of a run.
ENTRY_HEADER = "queue_or_task_entry"
#: A broker in memory, for a process that must send nothing.
NOWHERE = "memory://"
#: A result backend in memory.
RESULTS_NOWHERE = "cache+memory://"
#: Settings of the app's own servers that do not apply to ours.
_SERVER_SETTINGS = (
    "broker_use_ssl",
    "redis_backend_use_ssl",
    "broker_login_method",
    "broker_failover_strategy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """Which app a child loads, and which broker, result backend, queue and schedule it gets."""

    app: str
    #: The project's folder, searched first for the app's modules.
    folder: str
    #: URL of the run's broker; empty for the app's own.
    broker: str = ""
    #: URL of the result backend, used where the app stores results; empty for the app's own.
    results: str = ""
    #: The only queue, on the app's own broker; empty for the app's routes.
    queue: str = ""
    #: The schedule entries to run, each with a period in seconds, or None for its own.
    entries: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> str:
        """The JSON for the child's environment."""
        return json.dumps(asdict(self))

    @property
    def environment(self) -> dict[str, str]:
        """The child's environment variables."""
        variables = {VARIABLE: self.to_json()}
        if not self.broker:
            return variables
        names = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
        return variables | dict.fromkeys(names, self.broker)


def from_environment() -> AppSpec:
    """The spec of this child."""
    return AppSpec(**json.loads(os.environ[VARIABLE]))


def load_app(spec: AppSpec) -> Celery:
    """The app, imported and rebound as the spec says; raise AppError where it cannot be used."""
    app = load(spec.app, spec.folder)
    if spec.broker:
        _replace_broker(app, spec)
    if spec.queue:
        _use_one_queue(app, spec.queue)
    app.conf.beat_schedule = _schedule(app, spec)
    return app


def _replace_broker(app: Celery, spec: AppSpec) -> None:
    results = spec.results if app.conf.result_backend else None
    os.environ["CELERY_RESULT_BACKEND"] = ""  # it would override the setting
    app.conf.update(
        broker_url=spec.broker,
        broker_read_url=spec.broker,
        broker_write_url=spec.broker,
        result_backend=results,
        **{name: None for name in _SERVER_SETTINGS if app.conf.get(name) is not None},
    )


def _use_one_queue(app: Celery, queue: str) -> None:
    """Route every task to one queue; a call with a `queue=` of its own still goes there."""
    app.conf.update(task_routes=None, task_queues=None, task_default_queue=queue)
    tasks: Iterable[Any] = app.tasks.values()
    for task in tasks:
        if getattr(task, "queue", None):
            task.queue, task.exchange, task.routing_key = queue, None, None


def _schedule(app: Celery, spec: AppSpec) -> dict[str, Any]:
    """The entries to run, each with its name in a message header."""
    made = {}
    for name, seconds in spec.entries.items():
        entry = dict(app.conf.beat_schedule[name])
        options = dict(entry.get("options") or {})
        options["headers"] = {**(options.get("headers") or {}), ENTRY_HEADER: name}
        if spec.queue:
            options = {key: value for key, value in options.items() if key not in {"exchange", "routing_key"}}
            options["queue"] = spec.queue
        made[name] = {**entry, "options": options}
        if seconds is not None:
            made[name]["schedule"] = timedelta(seconds=seconds)
    return made
