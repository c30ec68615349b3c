"""Raises an exception in another thread: the nearest to a signal that Python has for a thread.

It is raised between two bytecodes, so a call that blocks in C (`time.sleep`, a socket) returns first. A soft
or hard time limit can do no more to a thread.

It must come neither before the task's function nor after it: it would hit what Celery does there, such as to
store the result, and could leave a lock held for ever (that of a log handler, say), or report a task as lost
that is done. So the function opens and closes the work, or the `__call__` of a class that has one of its own,
which Celery calls in its place: see `mark_function`. What was asked for earlier is raised when it begins;
what has not arrived when it ends is withdrawn.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import partial, wraps
from types import new_class
from typing import Any, Final

from celery import Task

_raise_async = ctypes.pythonapi.PyThreadState_SetAsyncExc
_here = threading.local()

#: The attributes that may hold a task's function: the first is the one that autoretry keeps.
_FUNCTIONS: Final = ("_orig_run", "run")
#: In the class of a task with a `__call__` of its own, once that is marked: the class without the mark.
_UNMARKED: Final = "_unmarked_class"


class Stopped(BaseException):
    """Raised in a task's thread when its hard time limit is over or it was terminated."""


class Interruptible:
    """Work on one thread, in which others can raise. Enter it on that thread.

    With a `task` whose function is marked, that function is the work; else all that runs inside of the block.
    """

    __slots__ = ("_depth", "_early", "_has_ended", "_lock", "_raised", "_task", "_thread")

    def __init__(self, task: Any = None) -> None:
        self._task = task if _opens_its_work(task) else None
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._raised = self._has_ended = False
        self._early: type[BaseException] | None = None
        self._depth = 0

    def __enter__(self) -> None:
        _here.work = self
        if self._task is None:
            self._thread = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self.close()
        _here.work = None

    def interrupt(self, error: type[BaseException]) -> bool:
        """Raise an error of this class in the work; return False if that has ended. Any thread."""
        with self._lock:
            if self._has_ended:
                return False
            if self._thread is None:
                self._early = error
                return True
            self._raised = True
            return bool(_raise_async(ctypes.c_ulong(self._thread), ctypes.py_object(error)))

    def close(self) -> None:
        """End the work: nothing is raised in it any more. On its thread; may be called again."""
        while True:
            try:
                with self._lock:
                    self._thread, self._has_ended = None, True
                    if (
                        self._raised
                    ):  # it may not have arrived yet, and must not hit what this thread does next
                        self._raised = False
                        _raise_async(ctypes.c_ulong(threading.get_ident()), None)
            except BaseException:  # noqa: BLE001, S112 - it has arrived just now, too late to matter
                continue
            return

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the task's function or `__call__`, which may call itself: the outermost call is the work."""
        self._depth += 1
        try:
            if self._thread is None and not self._has_ended:
                with self._lock:
                    self._thread, early = threading.get_ident(), self._early
                if early is not None:
                    raise early
            return function(*args, **kwargs)
        finally:
            self._depth -= 1
            if not self._depth:
                self.close()

    def is_of(self, task: Any) -> bool:
        """Whether the function of this task is the work."""
        return self._task is task


def mark_function(task: Any) -> None:
    """Make the task's function, or its class's own `__call__`, open and close its work; once is enough."""
    if type(task).__call__ is not Task.__call__:
        _mark_call(task)
        return
    name = next(name for name in _FUNCTIONS if hasattr(task, name))
    original = getattr(task, name)
    if hasattr(original, "unmarked"):
        return

    @wraps(original)
    def run(*args: Any, **kwargs: Any) -> Any:
        return _call_as_work(task, original, args, kwargs)

    run.unmarked = name, original  # type: ignore[attr-defined]
    setattr(task, name, run)


def _mark_call(task: Any) -> None:
    own = type(task)
    if hasattr(own, _UNMARKED):
        return

    def call(task: Any, *args: Any, **kwargs: Any) -> Any:
        return _call_as_work(task, partial(own.__call__, task), args, kwargs)

    made = {"__module__": own.__module__, "__doc__": own.__doc__, "__call__": call, _UNMARKED: own}
    task.__class__ = new_class(own.__name__, (own,), exec_body=lambda body: body.update(made))


def _call_as_work(task: Any, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    work: Interruptible | None = getattr(_here, "work", None)
    if work is None or not work.is_of(task):  # called by other code
        return original(*args, **kwargs)
    return work.call(original, args, kwargs)


def unmark_function(task: Any) -> None:
    """Undo `mark_function`."""
    if hasattr(type(task), _UNMARKED):
        task.__class__ = getattr(type(task), _UNMARKED)
    for name in _FUNCTIONS:
        found = getattr(getattr(task, name, None), "unmarked", None)
        if found is not None:
            setattr(task, *found)


def _opens_its_work(task: Any) -> bool:
    """Whether what Celery calls of the task is marked."""
    if hasattr(type(task), _UNMARKED):
        return True
    if task is None or type(task).__call__ is not Task.__call__:
        return False
    return any(hasattr(getattr(task, name, None), "unmarked") for name in _FUNCTIONS)
