"""What is done to a task before it runs in-process, and undone afterwards: all of it on the task object.

- Its stack of requests follows identities (see `identity`).
- A coroutine task, and one that asks for a process of its own, crosses the bridge (see `bridge`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from inprocess.celery.broker.broker import Lane
from inprocess.celery.celery_internals.internals import get_ident
from inprocess.celery.celery_internals.request_identity import follow


def is_isolated(task: Any) -> bool:
    """Whether the task says `isolation = "process"`."""
    return getattr(task, "isolation", None) == "process"


def lane_of(task: Any) -> Lane:
    """Where the task runs: in a thread, or on the loop."""
    if task is None:
        return "thread"
    from inprocess.celery.worker.greenlet_bridge import (
        is_coroutine_task,  # late: an app of plain tasks needs no greenlet
    )

    return "loop" if is_isolated(task) or is_coroutine_task(task) else "thread"


def prepare(task: Any, *, isolate: Callable[[Any], Callable[..., Coroutine[Any, Any, Any]]]) -> None:
    """Make the task fit to run here. Doing it twice does no harm.

    `isolate` makes what runs in the place of the function of a task that asks for a process.
    """
    follow(task.request_stack)
    if (
        lane_of(task) == "thread"
        or hasattr(task.run, "unbridged")
        or hasattr(getattr(task, "_orig_run", None), "unbridged")
    ):
        return
    from inprocess.celery.worker.greenlet_bridge import bridge  # late, as above

    if is_isolated(task):
        bridge(task, isolate(task))
    else:
        bridge(task)


def restore_all(app: Any) -> None:
    """Make every task of the app as it was."""
    for task in list(app.tasks.values()):
        restore(task)


def restore(task: Any) -> None:
    """Make the task as it was."""
    if task.request_stack is not None:
        task.request_stack.__ident_func__ = get_ident
    if lane_of(task) == "loop":
        from inprocess.celery.worker.greenlet_bridge import unbridge

        unbridge(task)
    task.__trace__ = None
