"""Imports an app in a child process and prints its description as JSON.

Reads one request from stdin: `{"app", "folder", "calls", "reach"}`. Writes one answer to stdout: the fields
of `AppDescription`, or `{"error": "one line"}`. Output of the app's own code goes to stderr. No task is sent;
`"reach": true` opens and closes a connection to the app's own broker.
"""

from __future__ import annotations

import difflib
import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from celery import Celery, Task
from celery.app.defaults import DEFAULTS
from celery.schedules import schedule as interval
from kombu.exceptions import OperationalError

from bench.own_app.children.app_description import AppDescription, ScheduleEntry
from bench.own_app.children.loading import AppError, load
from bench.own_app.children.rebound_app import NOWHERE, AppSpec

#: Seconds that the app's own broker may take to answer.
REACHABLE_WITHIN_S = 3
#: Known task names that the error for an unknown one lists, and their least similarity (of `difflib`).
SUGGESTIONS = 3
SIMILARITY = 0.4
#: Prefixes of settings that only a queue needs.
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


def describe(request: Mapping[str, Any]) -> AppDescription:
    """Import the app and describe it; raise AppError where it cannot be used."""
    variables = AppSpec(app="", folder="", broker=NOWHERE).environment
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)  # a task sent during the import reaches no broker
    try:
        app = load(request["app"], request["folder"])
    finally:
        for name, value in before.items():
            _restore(name, value)
    tasks = {name: _task(app, name) for name in request["calls"]}
    for name, calls in request["calls"].items():
        _check_calls(tasks[name], calls)
        _check_coroutine(tasks[name])
    if request["reach"]:
        _reach(app)
    entries = [_entry(name, entry) for name, entry in dict(app.conf.beat_schedule or {}).items()]
    for entry in entries:
        _task(app, entry.task, f"beat_schedule has {entry.name!r}, and ")
    settings = [
        name
        for name, default in DEFAULTS.items()
        if name != "beat_schedule" and app.conf.get(name, default) != default
    ]
    return AppDescription(
        signatures={name: str(_signature(task)) for name, task in tasks.items()},
        queues=_queues(app, [*tasks, *(entry.task for entry in entries)]),
        entries=entries,
        broker=app.connection_for_write().as_uri() if app.conf.broker_url else "",
        results=_without_password(app.conf.result_backend),
        settings=settings,
        queue_settings=[name for name in settings if name.startswith(QUEUE_SETTINGS)],
        worker=_worker(app),
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
    near = difflib.get_close_matches(name, own, n=SUGGESTIONS, cutoff=SIMILARITY) or sorted(own)[:SUGGESTIONS]
    hint = (
        f"the nearest are {', '.join(near)}"
        if near
        else "it has none: do `include` or autodiscovery name it?"
    )
    raise AppError(f"{beginning}no task of the app is called {name!r}: {hint}")


def _check_calls(task: Task[Any, Any], calls: Sequence[Sequence[Any]]) -> None:
    """Bind each call to the task's own function, as Python would."""
    signature = _signature(task)
    for args, kwargs in calls:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            call = f"args {json.dumps(args)}, kwargs {json.dumps(kwargs)}"
            raise AppError(f"{call} do not fit {task.name}{signature}: {error}") from error


def _check_coroutine(task: Task[Any, Any]) -> None:
    function = getattr(task, "_orig_run", task.run)  # what `autoretry_for` wraps
    if inspect.iscoroutinefunction(function) and find_spec("greenlet") is None:
        install = f"{sys.executable} -m pip install greenlet"
        raise AppError(f"{task.name} is a coroutine, which runs in-process by greenlet: {install}")


def _signature(task: Task[Any, Any]) -> inspect.Signature:
    """The signature with its annotations evaluated where that is possible."""
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
        reason = " ".join(str(error).split())
        raise AppError(
            f"the app's broker {uri} does not answer ({reason}): start it, or leave out --use-app-broker"
        ) from error
    finally:
        connection.release()


def _entry(name: str, entry: Mapping[str, Any]) -> ScheduleEntry:
    plan = entry["schedule"]
    if isinstance(plan, int | float):
        seconds: float | None = float(plan)
    elif hasattr(plan, "total_seconds"):
        seconds = plan.total_seconds()
    else:
        seconds = plan.seconds if type(plan) is interval else None
    text = f"every {seconds:g} s" if seconds is not None else " ".join(str(plan).split())
    return ScheduleEntry(name=name, task=str(entry["task"]), schedule=text, seconds=seconds)


def _queues(app: Celery, names: Sequence[str]) -> list[str]:
    """The declared queues, and those that the routes, task options and entry options name."""
    found = list(app.amqp.queues)
    entries = dict(app.conf.beat_schedule or {}).values()
    found += [queue for entry in entries if (queue := (entry.get("options") or {}).get("queue"))]
    for name in names:
        own = {key: getattr(app.tasks[name], key, None) for key in ("queue", "exchange", "routing_key")}
        given = {key: value for key, value in own.items() if value is not None}
        queue = app.amqp.router.route(given, name, (), {}).get("queue")
        found.append(getattr(queue, "name", queue) or app.conf.task_default_queue)
    return list(dict.fromkeys(str(queue) for queue in found))


def _without_password(backend: object) -> str:
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
    """AppDescription the question on stdin."""
    request = json.load(sys.stdin)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        answer = asdict(describe(request))
    except AppError as error:
        answer = {"error": str(error)}
    json.dump(answer, out, default=str)
    out.flush()
    os._exit(0)  # threads that the app has started do not hold the process
