"""Tasks with `isolation = "process"`: the function runs in a supervised process, Celery stays here.

1. The bridge (see `greenlet_bridge`) passes the call to a worker process (see `isolation`).
2. There the task's module is imported, as a worker would, and its function called with the request in
   place. What it sends (`other.delay()`, `self.retry()`) and stores is kept in an outbox.
3. Back here the outbox is sent, then the tracer gets the result, error or retry.

What the task sends leaves at the end of the call, not before; waiting for a result there is refused. If the
process dies, its outbox is lost, and Celery is told that the worker was lost.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

from celery import Task

from inprocess.celery.attach.app_patch import patched
from inprocess.celery.broker.broker import Broker, Envelope
from inprocess.celery.celery_internals.internals import DisabledBackend, state_module
from inprocess.celery.worker.job import END_S
from inprocess.supervision.core.errors import WorkerDiedError
from inprocess.supervision.isolation import isolation

#: The parts of a request that are sent along: plain values that identify the run and its call.
REQUEST: Final = (
    "id", "task", "args", "kwargs", "retries", "root_id", "parent_id", "group", "group_index", "chord",
    "chain", "callbacks", "errbacks", "expires", "eta", "timelimit", "delivery_info", "hostname", "headers",
    "correlation_id", "reply_to", "shadow", "origin", "ignore_result", "properties", "stamps",
    "stamped_headers", "argsrepr", "kwargsrepr", "replaced_task_nesting", "lang",
)  # fmt: skip


class Lost(BaseException):
    """The process died. Not an Exception, which the tracer would take for an error of the task."""


class _Answer(NamedTuple):
    """The outcome of a call: its result or error, and the outbox."""

    value: Any
    is_error: bool
    messages: list[Envelope]
    states: list[tuple[str, Any, str]]


class Outbox(DisabledBackend):  # type: ignore[misc]  # see internals
    """The result backend in the worker process: keeps states, and has no results."""

    thread_safe = True

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.stored: list[tuple[str, Any, str]] = []

    def store_result(self, task_id: str, result: Any, state: str, *_: Any, **__: Any) -> None:
        """Keep a state."""
        self.stored.append((task_id, result, state))


def run_in_process(task: Any) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return a replacement for the task's function: a coroutine that calls it in a process."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        request = {name: task.request.get(name) for name in REQUEST}
        order = _Order(type(task).__module__, task.name, task.app.amqp.strict, request, args, kwargs)
        try:
            answer = await isolation.run(_call, (order,), "process", name=task.name, shutdown=END_S)
        except WorkerDiedError as error:
            raise Lost(str(error)) from error
        answer = cast("_Answer", answer)
        for message in answer.messages:
            task.app.amqp.broker.put(message)
        for task_id, result, state in answer.states:
            task.backend.store_result(task_id, result, state)
        if answer.is_error:
            raise answer.value
        return answer.value

    return run


class _Order(NamedTuple):
    """What to call, and as which run of which task."""

    module: str
    task: str
    strict: bool
    request: dict[str, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def _call(order: _Order) -> _Answer:
    """Call the task's function, in the worker process."""
    task = _found(importlib.import_module(order.module), order.task)
    app, broker = task.app, Broker()
    states = Outbox(app)
    with patched(app, broker, strict=order.strict, backend=states, ask=_nobody, keeps_jobs=False):
        task.push_request(**order.request, called_directly=False)
        try:
            value = task.run(*order.args, **order.kwargs)
            if asyncio.iscoroutine(value):
                value = asyncio.run(value)
        except Exception as error:  # noqa: BLE001 - goes back, whatever it is
            return _Answer(error, True, broker.waiting(), states.stored)
        finally:
            task.pop_request()
    return _Answer(value, False, broker.waiting(), states.stored)


def _found(module: ModuleType, name: str) -> Any:
    """Return the task by name: one of the module, else, as Celery unpickles tasks, of the current app."""
    own = (value for value in vars(module).values() if isinstance(value, Task) and value.name == name)
    return next(own, None) or state_module.get_current_app().tasks[name]


def _nobody(_question: Callable[[Any], Any]) -> None:
    """Do nothing: there is no worker here."""
