"""A bridge by which Celery's tracer, which is plain code, runs a coroutine task on the event loop.

1. `TracerRun.run` runs the tracer in a greenlet, in the context of the asyncio task that awaits it.
2. When the tracer calls the task's `run`, a bridged task passes its coroutine to the loop's side, and the
   greenlet sleeps. The loop's side awaits the coroutine and resumes the greenlet with the result.
3. So retries, results, callbacks and signals stay Celery's own.

Called by any other code, a bridged task returns its coroutine as before: `await other_task(1)`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # as it says

#: The attribute in which autoretry keeps the function that it wraps.
_WRAPPED = "_orig_run"


class TracerGreenlet(greenlet):  # type: ignore[misc]  # greenlet has no stubs
    """A greenlet that runs the tracer."""

    #: Whether the loop's side awaits the task's coroutine now.
    awaits_coroutine = False


class TracerRun:
    """One run of the tracer for a coroutine task. Await it once."""

    def __init__(self) -> None:
        self._soft_limit = SoftLimit()
        self._task: asyncio.Task[Any] | None = None

    async def run(self, tracer: Callable[[], Any]) -> Any:
        """Run the tracer to its end and return what it returns; raise what it raises."""
        self._task = asyncio.current_task()
        inside = TracerGreenlet(tracer)
        inside.gr_context = getcurrent().gr_context
        yielded = inside.switch()
        while not inside.dead:
            try:
                value = await CoroutineDriver(yielded, self._soft_limit.replace_error)
            except BaseException:  # noqa: BLE001 - the tracer's to deal with, whatever it is
                inside.awaits_coroutine = False
                yielded = inside.throw(*sys.exc_info())
            else:
                inside.awaits_coroutine = False
                yielded = inside.switch(value)
        return yielded

    def interrupt(self) -> None:
        """Raise SoftTimeLimitExceeded where the coroutine waits. Loop's thread only."""
        if self._task is not None:
            self._soft_limit.reach(self._task)


class SoftLimit:
    """Cancels a task at its soft time limit, and makes SoftTimeLimitExceeded of that cancellation."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None

    def reach(self, task: asyncio.Task[Any]) -> None:
        """Cancel the task: its limit is over. Loop's thread only."""
        self._task = task
        task.cancel()

    def forget(self) -> None:
        """Let a cancellation that has not arrived be one: the task is to end."""
        self._task = None

    def replace_error(self, error: BaseException) -> BaseException:
        """Return the error that the coroutine gets instead of one that is thrown into it."""
        task = self._task
        if task is None or not isinstance(error, asyncio.CancelledError):
            return error
        self._task = None
        task.uncancel()
        return SoftTimeLimitExceeded()


class CoroutineDriver:
    """Awaits a coroutine; an error thrown into it is replaced by `replace_error(error)`."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], replace_error: Callable[[BaseException], BaseException]
    ) -> None:
        self._coroutine = coroutine
        self._replace_error = replace_error

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            try:
                waits_for = step(value)
            except StopIteration as end:
                return end.value
            try:
                value = yield waits_for
                step = self._coroutine.send
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 - the coroutine's to deal with
                value, step = self._replace_error(error), self._coroutine.throw


def bridge(task: Any, function: Callable[..., Coroutine[Any, Any, Any]] | None = None) -> None:
    """Have the loop await the task's `run` when the tracer calls it; `function` may replace `run`."""
    name = _WRAPPED if hasattr(task, _WRAPPED) else "run"
    original = getattr(task, name)
    inner = function or original

    @wraps(original)
    def run(*args: Any, **kwargs: Any) -> Any:
        here = getcurrent()
        if isinstance(here, TracerGreenlet) and not here.awaits_coroutine:
            here.awaits_coroutine = True
            return here.parent.switch(inner(*args, **kwargs))
        return original(*args, **kwargs)

    run.unbridged = name, original  # type: ignore[attr-defined]
    setattr(task, name, run)


def unbridge(task: Any) -> None:
    """Restore the task's function."""
    for name in (_WRAPPED, "run"):
        found = getattr(getattr(task, name, None), "unbridged", None)
        if found is not None:
            setattr(task, *found)


def is_bridged(task: Any) -> bool:
    """Whether the task crosses the bridge already."""
    return any(hasattr(getattr(task, name, None), "unbridged") for name in (_WRAPPED, "run"))


def is_coroutine_task(task: Any) -> bool:
    """Whether the task's own function is `async def`."""
    function = getattr(task, _WRAPPED, task.run)
    _, original = getattr(function, "unbridged", (None, function))
    return iscoroutinefunction(original)
