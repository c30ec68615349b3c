"""Changes to a task before it runs in-process, all on the task object, undone at the end.

- Its stack of requests is kept by identity, see `request_identity`.
- The function of a plain task is marked, see `thread_interrupt`.
- A coroutine task, and one with `isolation = "process"`, crosses the bridge, see `greenlet_bridge`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from celery.local import maybe_evaluate

from inprocess.celery.broker.broker import Lane
from inprocess.celery.celery_internals.internals import get_ident
from inprocess.celery.celery_internals.request_identity import follow
from inprocess.celery.worker.thread_interrupt import mark_function, unmark_function


def is_isolated(task: Any) -> bool:
    """Whether the task has `isolation = "process"`."""
    return getattr(task, "isolation", None) == "process"


def lane_of(task: Any) -> Lane:
    """Return where the task runs: in a thread, or on the loop."""
    if task is None:
        return "thread"
    from inprocess.celery.worker.greenlet_bridge import (
        is_coroutine_task,  # late: an app of plain tasks needs no greenlet
    )

    return "loop" if is_isolated(task) or is_coroutine_task(task) else "thread"


def prepare(task: Any, *, isolate: Callable[[Any], Callable[..., Coroutine[Any, Any, Any]]]) -> None:
    """Prepare the task to run in this process. May be called repeatedly.

    `isolate` returns the replacement for the function of a task that asks for a process.
    """
    task = maybe_evaluate(task)  # what a person has put into the registry may stand for a task
    follow(task.request_stack)
    if lane_of(task) == "thread":
        mark_function(task)
        return
    from inprocess.celery.worker.greenlet_bridge import bridge, is_bridged  # late, as above

    if is_bridged(task):
        return
    if is_isolated(task):
        bridge(task, isolate(task))
    else:
        bridge(task)


def restore_all(app: Any) -> None:
    """Restore every task of the app."""
    for task in list(app.tasks.values()):
        restore(task)


def restore(task: Any) -> None:
    """Restore the task."""
    task = maybe_evaluate(task)
    if task.request_stack is not None:
        task.request_stack.__ident_func__ = get_ident
    if lane_of(task) == "loop":
        from inprocess.celery.worker.greenlet_bridge import unbridge

        unbridge(task)
    else:
        unmark_function(task)
    task.__trace__ = None
