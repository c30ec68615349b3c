"""Crossing between threads: callers that are not on the loop's thread, and work that blocks.

`hop` runs a short function on the loop for a caller on another thread. `run_blocking` runs a
plain function beside the loop, in a pool of its own, so that slow work there does not hold
up what the app does with `asyncio.to_thread`.

A thread cannot be stopped. Cancelling the task that waits for one lets it run on; work that
is still queued is dropped. Python waits for running threads before the process ends.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

#: Plain functions that run at once in this process; more wait for a free thread.
MAX_THREADS = 32
#: Seconds that a caller on another thread waits for the loop to take its turn.
HOP_TIMEOUT_S = 5.0

T = TypeVar("T")


def hop(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Run `function` on the loop's thread and return its result; for callers on another thread.

    Raise TimeoutError where the loop did not get to it in HOP_TIMEOUT_S (then it never will run
    it), and RuntimeError where the loop is closed.
    """
    answer: concurrent.futures.Future[T] = concurrent.futures.Future()
    loop.call_soon_threadsafe(_answer, answer, function)
    try:
        return answer.result(HOP_TIMEOUT_S)
    except concurrent.futures.TimeoutError:
        if answer.cancel():
            raise TimeoutError(f"the event loop took no turn within {HOP_TIMEOUT_S:g} s") from None
        return answer.result()


async def run_blocking(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    """Run a plain function in the pool, with the caller's context variables, and return its result."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    result = await loop.run_in_executor(_pool(), lambda: context.run(function, *args))
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(
            f"{function!r} is no async function but returned a coroutine: pass the async function"
        )
    return result


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it makes a coroutine; the flags of the code first, since `inspect` is slow."""
    code = getattr(function, "__code__", None)
    if code is not None:
        return bool(code.co_flags & inspect.CO_COROUTINE)
    call = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _answer(answer: concurrent.futures.Future[T], function: Callable[[], T]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(function())
    except BaseException as error:  # noqa: BLE001 - belongs to the caller, whatever it is
        answer.set_exception(error)


@cache
def _pool() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="inprocess")
