"""In a child process of a block: the app, imported, and turned away from its own broker and results.

`Adoption` is what the harness tells the child, as JSON in QUEUE_OR_TASK_OWN. Unless the run has
`--use-app-broker`, nothing that the app sends can reach its own broker: Celery's own variables
(CELERY_BROKER_URL and its like, which go before any setting) are set before the import, and the settings
after it. Results go to the broker that we started, where the app keeps any, and nowhere else.
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
#: The header by which a worker knows which entry of the schedule a run is for.
ENTRY_HEADER = "queue_or_task_entry"
#: A broker that nobody else reaches, for a process that must send nothing.
NOWHERE = "memory://"
#: Where results go that nobody else may see.
RESULTS_NOWHERE = "cache+memory://"
#: Settings of the app's own servers that mean nothing on ours.
_SERVER_SETTINGS = (
    "broker_use_ssl",
    "redis_backend_use_ssl",
    "broker_login_method",
    "broker_failover_strategy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What a child needs to know of the app."""

    app: str
    #: Looked into first for the app's modules.
    folder: str
    #: Our broker; empty for the app's own.
    broker: str = ""
    #: Where the app keeps results, if it keeps any; empty for the app's own.
    results: str = ""
    #: The one queue that everything goes through, on the app's own broker; empty: the app's routes.
    queue: str = ""
    #: The entries of the schedule that are run, each with its seconds where they are not its own.
    entries: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> str:
        """As text for the child's environment."""
        return json.dumps(asdict(self))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the child."""
        told = {VARIABLE: self.to_json()}
        if not self.broker:
            return told
        names = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
        return told | dict.fromkeys(names, self.broker)


def from_environment() -> Adoption:
    """What this child was told."""
    return Adoption(**json.loads(os.environ[VARIABLE]))


def load_app(adoption: Adoption) -> Celery:
    """The app as this child may use it; raise AppError."""
    app = load(adoption.app, adoption.folder)
    if adoption.broker:
        _turn_away(app, adoption)
    if adoption.queue:
        _gather(app, adoption.queue)
    app.conf.beat_schedule = _schedule(app, adoption)
    return app


def _turn_away(app: Celery, adoption: Adoption) -> None:
    results = adoption.results if app.conf.result_backend else None
    os.environ["CELERY_RESULT_BACKEND"] = ""  # it would go before the setting
    app.conf.update(
        broker_url=adoption.broker,
        broker_read_url=adoption.broker,
        broker_write_url=adoption.broker,
        result_backend=results,
        **{name: None for name in _SERVER_SETTINGS if app.conf.get(name) is not None},
    )


def _gather(app: Celery, queue: str) -> None:
    """Send everything to one queue, but for calls that name another themselves."""
    app.conf.update(task_routes=None, task_queues=None, task_default_queue=queue)
    tasks: Iterable[Any] = app.tasks.values()
    for task in tasks:
        if getattr(task, "queue", None):
            task.queue, task.exchange, task.routing_key = queue, None, None


def _schedule(app: Celery, adoption: Adoption) -> dict[str, Any]:
    """The entries that are run, each marked by a header with its name."""
    made = {}
    for name, seconds in adoption.entries.items():
        entry = dict(app.conf.beat_schedule[name])
        options = dict(entry.get("options") or {})
        options["headers"] = {**(options.get("headers") or {}), ENTRY_HEADER: name}
        if adoption.queue:
            options = {key: value for key, value in options.items() if key not in {"exchange", "routing_key"}}
            options["queue"] = adoption.queue
        made[name] = {**entry, "options": options}
        if seconds is not None:
            made[name]["schedule"] = timedelta(seconds=seconds)
    return made
