"""Which request `self.request` and `current_task` mean, where many tasks share one thread.

Celery keeps running tasks on stacks, one a thread or greenlet. Coroutine tasks share the loop's thread,
and their code runs in another greenlet than Celery's tracer. So each gets an identity in a context
variable, which follows it through every await, `create_task` and `to_thread`. Without an identity a stack
is Celery's own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from inprocess.celery.celery_internals.internals import get_ident, state_module
from inprocess.celery.celery_internals.refcounted_patch import RefcountedPatch

_identity: ContextVar[object | None] = ContextVar(
    "inprocess.celery.celery_internals.request_identity", default=None
)


def begin_coroutine_task() -> None:
    """Set a new identity in this context and those copied from it."""
    _identity.set(object())


def begin_thread_task() -> None:
    """Use the thread's identity again, whatever context the work was started from."""
    _identity.set(None)


def follow(stack: Any) -> None:
    """Make a stack of Celery's keep one pile for each identity."""
    stack.__ident_func__ = _current


def _follow_running_tasks() -> Callable[[], None]:
    follow(state_module._task_stack)  # noqa: SLF001 - pinned
    return _leave_running_tasks


def _leave_running_tasks() -> None:
    state_module._task_stack.__ident_func__ = get_ident  # noqa: SLF001 - pinned


def _current() -> object:
    return _identity.get() or get_ident()


#: Makes the stack of running tasks, which all apps share, use identities.
task_stack_patch = RefcountedPatch(_follow_running_tasks)
