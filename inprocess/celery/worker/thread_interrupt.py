"""Raises an exception in another thread: the nearest to a signal that Python has for a thread.

It is raised between two bytecodes, so a call that blocks in C (`time.sleep`, a socket) returns first. A soft
or hard time limit can do no more to a thread.
"""

from __future__ import annotations

import ctypes
import threading

_raise_async = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Stopped(BaseException):
    """Raised in a task's thread when its hard time limit is over or it was terminated."""


class Interruptible:
    """A block of work on one thread, in which others can raise. Enter it on that thread."""

    __slots__ = ("_lock", "_raised", "_thread")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._raised = False

    def __enter__(self) -> None:
        self._thread = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        thread = threading.get_ident()
        with self._lock:
            self._thread = None
            if self._raised:  # it may not have arrived yet, and must not hit what this thread does next
                _raise_async(ctypes.c_ulong(thread), None)

    def interrupt(self, error: type[BaseException]) -> bool:
        """Raise an error of this class in the work; return False if it does not run. Any thread."""
        with self._lock:
            if self._thread is None:
                return False
            self._raised = True
            return bool(_raise_async(ctypes.c_ulong(self._thread), ctypes.py_object(error)))
