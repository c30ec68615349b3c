"""A child process that imports an app and tells what it found, as JSON.

Reads a question from stdin, writes one answer to stdout: `{"error": "one line"}`, or the fields of
`Answer`. Whatever the app's own code prints on the way goes to stderr. Nothing is sent anywhere, but with
`"reach": true` a connection to the app's own broker is opened and closed.
"""

from __future__ import annotations

import difflib
import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from celery import Celery, Task
from celery.app.defaults import DEFAULTS
from celery.schedules import schedule as interval
from kombu.exceptions import OperationalError

from bench.own_app.children.app_description import Answer, Entry
from bench.own_app.children.loading import AppError, load
from bench.own_app.children.rebound_app import NOWHERE, Adoption

#: Seconds that the app's own broker may take to answer.
REACHABLE_WITHIN_S = 3
#: Names that are offered for one that is not known.
OFFERED = 3
#: The nearest of them may be this unlike.
LIKENESS = 0.4
#: What a setting's name begins with that only a queue has.
QUEUE_SETTINGS = (
    "broker_",
    "result_",
    "worker_",
    "redis_",
    "beat_",
    "task_acks",
    "task_reject",
    "task_queue",
)


def answer(question: Mapping[str, Any]) -> Answer:
    """Import the app and look; raise AppError for what cannot be used."""
    names = Adoption(app="", folder="", broker=NOWHERE).environment
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)  # what is sent while modules are imported goes nowhere
    try:
        app = load(question["app"], question["folder"])
    finally:
        for name, value in before.items():
            _restore(name, value)
    tasks = {name: _task(app, name) for name in question["calls"]}
    for name, calls in question["calls"].items():
        _check_calls(tasks[name], calls)
    if question["reach"]:
        _reach(app)
    entries = [_entry(name, entry) for name, entry in dict(app.conf.beat_schedule or {}).items()]
    for entry in entries:
        _task(app, entry.task, f"beat_schedule has {entry.name!r}, and ")
    settings = [
        name
        for name, default in DEFAULTS.items()
        if name != "beat_schedule" and app.conf.get(name, default) != default
    ]
    return Answer(
        signatures={name: str(_signature(task)) for name, task in tasks.items()},
        queues=_queues(app, [*tasks, *(entry.task for entry in entries)]),
        entries=entries,
        broker=app.connection_for_write().as_uri() if app.conf.broker_url else "",
        results=_place(app.conf.result_backend),
        settings=settings,
        queue_settings=[name for name in settings if name.startswith(QUEUE_SETTINGS)],
        worker=_worker(app),
        hooked="bench.hooks" in sys.modules,
    )


def _restore(name: str, value: str | None) -> None:
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


def _task(app: Celery, name: str, beginning: str = "") -> Task[Any, Any]:
    if name in app.tasks:
        return app.tasks[name]
    own = [known for known in app.tasks if not known.startswith("celery.")]
    near = difflib.get_close_matches(name, own, n=OFFERED, cutoff=LIKENESS) or sorted(own)[:OFFERED]
    offered = (
        f"the nearest are {', '.join(near)}"
        if near
        else "it has none: do `include` or autodiscovery name it?"
    )
    raise AppError(f"{beginning}no task of the app is called {name!r}: {offered}")


def _check_calls(task: Task[Any, Any], calls: Sequence[Sequence[Any]]) -> None:
    """Bind each call to the task's own function, as Python would."""
    signature = _signature(task)
    for args, kwargs in calls:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            told = f"args {json.dumps(args)}, kwargs {json.dumps(kwargs)}"
            raise AppError(f"{told} do not fit {task.name}{signature}: {error}") from error


def _signature(task: Task[Any, Any]) -> inspect.Signature:
    """As a person would write it, where the names of its types are known at run time."""
    try:
        return inspect.signature(task.run, eval_str=True)
    except Exception:  # noqa: BLE001 - an annotation may be any expression
        return inspect.signature(task.run)


def _reach(app: Celery) -> None:
    connection = app.connection_for_write(connect_timeout=REACHABLE_WITHIN_S)
    uri = connection.as_uri()
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=REACHABLE_WITHIN_S)
    except (OperationalError, OSError, ConnectionError) as error:
        told = " ".join(str(error).split())
        raise AppError(
            f"the app's broker {uri} does not answer ({told}): start it, or leave out --use-app-broker"
        ) from error
    finally:
        connection.release()


def _entry(name: str, entry: Mapping[str, Any]) -> Entry:
    plan = entry["schedule"]
    if isinstance(plan, int | float):
        seconds: float | None = float(plan)
    elif hasattr(plan, "total_seconds"):
        seconds = plan.total_seconds()
    else:
        seconds = plan.seconds if type(plan) is interval else None
    told = f"every {seconds:g} s" if seconds is not None else " ".join(str(plan).split())
    return Entry(name=name, task=str(entry["task"]), schedule=told, seconds=seconds)


def _queues(app: Celery, names: Sequence[str]) -> list[str]:
    """The queues that it declares, and where its routes and its tasks' and entries' options lead."""
    found = list(app.amqp.queues)
    entries = dict(app.conf.beat_schedule or {}).values()
    found += [queue for entry in entries if (queue := (entry.get("options") or {}).get("queue"))]
    for name in names:
        own = {key: getattr(app.tasks[name], key, None) for key in ("queue", "exchange", "routing_key")}
        given = {key: value for key, value in own.items() if value is not None}
        queue = app.amqp.router.route(given, name, (), {}).get("queue")
        found.append(getattr(queue, "name", queue) or app.conf.task_default_queue)
    return list(dict.fromkeys(str(queue) for queue in found))


def _place(backend: object) -> str:
    scheme, separator, rest = str(backend or "").partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else scheme


def _worker(app: Celery) -> dict[str, Any]:
    names = (
        "worker_pool",
        "worker_concurrency",
        "worker_prefetch_multiplier",
        "task_acks_late",
        "task_reject_on_worker_lost",
        "task_time_limit",
    )
    return {name: app.conf.get(name) for name in names}


def main() -> None:
    """Answer the question on stdin."""
    question = json.load(sys.stdin)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        told = asdict(answer(question))
    except AppError as error:
        told = {"error": str(error)}
    json.dump(told, out, default=str)
    out.flush()
    os._exit(0)  # whatever threads the app has started


if __name__ == "__main__":
    main()
