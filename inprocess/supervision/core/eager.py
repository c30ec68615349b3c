"""Run a coroutine at once, and create a task only if it has to wait.

Most restarts never wait, and a task for each would cost more than the restart. Python has eager
tasks from 3.12 on; this works on 3.11 too. The price: until its first wait the coroutine runs inside
its caller, so `asyncio.current_task()` is the caller's and `asyncio.timeout()` must not be entered
there. Only for the runtime's own coroutines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


def run_eagerly(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> asyncio.Task[T] | None:
    """Run the coroutine up to its first wait. Return the task that continues it, or None if it is done.

    Raise what it raises before its first wait. The result of a coroutine that never waits is dropped.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return loop.create_task(_Rest(coroutine, awaited))


class _Rest(Coroutine[Any, Any, T]):
    """A coroutine that has begun: yields to its task what it awaited first, then continues."""

    __slots__ = ("_awaited", "_coroutine", "_is_first")

    def __init__(self, coroutine: Coroutine[Any, Any, T], awaited: object) -> None:
        self._coroutine = coroutine
        self._awaited = awaited
        self._is_first = True

    def send(self, value: Any, /) -> Any:
        if self._is_first:
            self._is_first = False
            awaited, self._awaited = self._awaited, None
            return awaited
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        # Also before the first `send`: a cancellation must reach the coroutine's own clean-up.
        self._is_first = False
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()
