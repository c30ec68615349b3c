"""Calls from other threads to the event loop's thread.

`hop` runs a short function on the loop and waits for its result. `wait_on` runs any function there
and awaits what it returns, if that is awaitable. `is_async` tells coroutine functions from plain
ones. For work that blocks, see `isolation`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

#: Seconds that a caller on another thread waits for the loop to run its function.
HOP_TIMEOUT_S = 5.0

T = TypeVar("T")


def hop(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Run `function` on the loop's thread and return its result; for callers on another thread.

    Raise TimeoutError if the loop does not run it within HOP_TIMEOUT_S (then it never will), and
    RuntimeError if the loop is closed.
    """
    answer: concurrent.futures.Future[T] = concurrent.futures.Future()
    loop.call_soon_threadsafe(_answer, answer, function)
    try:
        return answer.result(HOP_TIMEOUT_S)
    except concurrent.futures.TimeoutError:
        if answer.cancel():
            raise TimeoutError(f"the event loop took no turn within {HOP_TIMEOUT_S:g} s") from None
        return answer.result()


def wait_on(
    loop: asyncio.AbstractEventLoop, function: Callable[[], Any], timeout_s: float | None = None
) -> Any:
    """Call a function on the loop, await its result if it is awaitable, and return the outcome.

    Raise what the function raises, TimeoutError if it takes longer than `timeout_s` seconds (it is then
    cancelled), and RuntimeError on the loop's own thread, which would wait for itself.
    """
    if asyncio._get_running_loop() is loop:  # noqa: SLF001 - documented under this name
        raise RuntimeError(f"{function!r}: on the loop's own thread, call or await it directly")
    there = asyncio.run_coroutine_threadsafe(_outcome(function), loop)
    try:
        return there.result(timeout_s)
    except concurrent.futures.TimeoutError:
        if there.done():  # it is the function's own
            raise
        there.cancel()
        raise TimeoutError(f"{function!r} did not return within {timeout_s:g} s and was cancelled") from None


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it makes a coroutine. Looks at the code's flags first, because `inspect` is slow."""
    code = getattr(function, "__code__", None)
    if code is not None:
        return bool(code.co_flags & inspect.CO_COROUTINE)
    call = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def _outcome(function: Callable[[], Any]) -> Any:
    result = function()
    return await result if inspect.isawaitable(result) else result


def _answer(answer: concurrent.futures.Future[T], function: Callable[[], T]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(function())
    except BaseException as error:  # noqa: BLE001 - belongs to the caller, whatever it is
        answer.set_exception(error)
