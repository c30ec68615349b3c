"""Calls to another event loop, from a thread or from a loop of another thread.

`hop` runs a short function there and waits for its result. `wait_on` runs any function there and awaits
what it returns, if that is awaitable. `across` awaits a coroutine there from the running loop. All refuse at
once a loop on which nothing will run, see `why_unreachable`, and notice when it ends meanwhile. `is_async`
tells coroutine functions from plain ones. For work that blocks, see `isolation`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Final, TypeVar

from inprocess.supervision.core.clock import settle
from inprocess.supervision.core.errors import LoopGoneError
from inprocess.supervision.core.loops import why_unreachable

#: Seconds that a caller on another thread waits for the loop to run its function.
HOP_TIMEOUT_S: Final = 5.0
#: Seconds between two looks at whether a loop that somebody waits for still runs.
LOOK_S: Final = 0.5

T = TypeVar("T")


def hop(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Run `function` on the loop's thread and return its result; for callers on another thread.

    Raise LoopGoneError if the loop does not run, and TimeoutError if it does not run the function within
    HOP_TIMEOUT_S. The function then never runs.
    """
    answer: concurrent.futures.Future[T] = concurrent.futures.Future()
    check_reachable(loop)
    try:
        loop.call_soon_threadsafe(_answer, answer, function)
    except RuntimeError:
        check_reachable(loop)
        raise
    try:
        return _result(answer, loop, HOP_TIMEOUT_S)
    except _NoAnswerError as error:
        if not answer.cancel():
            return answer.result()
        if error.gone is not None:
            raise LoopGoneError(error.gone) from None
        raise TimeoutError(f"the event loop took no turn within {HOP_TIMEOUT_S:g} s") from None


def look(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Like `hop`, for a look at what lives on the loop; at once if the loop runs here, or does not run."""
    is_here = asyncio._get_running_loop() is loop  # noqa: SLF001 - documented under this name
    if is_here or not loop.is_running():
        return function()
    return hop(loop, function)


def wait_on(
    loop: asyncio.AbstractEventLoop, function: Callable[[], Any], timeout_s: float | None = None
) -> Any:
    """Call a function on the loop, await its result if it is awaitable, and return the outcome.

    Raise what the function raises, TimeoutError if it takes longer than `timeout_s` seconds (it is then
    cancelled), LoopGoneError if the loop does not run or ends meanwhile, and RuntimeError on the loop's own
    thread, which would wait for itself.
    """
    if asyncio._get_running_loop() is loop:  # noqa: SLF001 - documented under this name
        raise RuntimeError(f"{function!r}: on the loop's own thread, call or await it directly")
    there = _submit(loop, lambda: _outcome(function))
    try:
        return _result(there, loop, inf if timeout_s is None else timeout_s)
    except _NoAnswerError as error:
        there.cancel()
        if error.gone is not None:
            raise LoopGoneError(error.gone) from None
        raise TimeoutError(f"{function!r} did not return within {timeout_s:g} s and was cancelled") from None


async def across(
    loop: asyncio.AbstractEventLoop, call: Callable[[], Coroutine[Any, Any, T]], timeout_s: float = inf
) -> T:
    """Await `call()` on another loop, from a coroutine on this one; a cancellation is passed on.

    Raise what it raises, TimeoutError if it takes longer than `timeout_s` seconds (it is then cancelled),
    and LoopGoneError if the loop does not run or ends meanwhile.
    """
    there = _submit(loop, call)
    here = asyncio.get_running_loop()
    deadline = here.time() + timeout_s
    gone: str | None = None
    try:
        while not there.done() and gone is None and (left := deadline - here.time()) > 0:
            woken = here.create_future()
            there.add_done_callback(lambda _done, woken=woken: _settle_here(here, woken))  # type: ignore[misc]  # mypy cannot infer a default's type
            timer = here.call_later(min(left, LOOK_S), settle, woken)
            try:
                await woken
            finally:
                timer.cancel()
            gone = why_unreachable(loop)
    finally:
        if not there.done():
            there.cancel()
    if there.cancelled():
        if gone is None and deadline <= here.time():
            raise TimeoutError
        raise LoopGoneError(gone or "its event loop has ended")
    return there.result()


def check_reachable(loop: asyncio.AbstractEventLoop) -> None:
    """Raise LoopGoneError if nothing that is sent to this loop would run. Any thread."""
    why = why_unreachable(loop)
    if why is not None:
        raise LoopGoneError(why)


def is_coroutine_function(function: object) -> bool:
    """Whether it is defined by `async def`, so that calling it runs nothing yet."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_COROUTINE)


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it makes something to await. Looks at its code first, because `inspect` is slow."""
    if is_coroutine_function(function):
        return True
    code = getattr(function, "__code__", None)
    if inspect.iscoroutinefunction(function) or _is_marked(function):
        return True
    # an object with an async __call__
    return code is None and inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _is_marked(function: object) -> bool:
    """Whether libraries have marked it as a coroutine function, before `inspect` had a mark for that."""
    if sys.version_info >= (3, 12):
        return False
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "_is_coroutine", None) is asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001 - what asgiref sets


class _NoAnswerError(Exception):
    """A call had no answer in time, or `gone` says why it will never have one."""

    def __init__(self, gone: str | None) -> None:
        self.gone = gone


def _result(there: concurrent.futures.Future[T], loop: asyncio.AbstractEventLoop, timeout_s: float) -> T:
    """Wait for the result on this thread; raise _NoAnswerError without one."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = deadline - time.monotonic()
        try:
            try:
                return there.result(max(0.0, min(left, LOOK_S)))
            except concurrent.futures.TimeoutError:
                if there.done():  # the error is the function's own, or its answer came after this look
                    return there.result()
        except concurrent.futures.CancelledError:
            raise _NoAnswerError("its event loop has ended") from None
        gone = why_unreachable(loop)
        if gone is not None or left <= LOOK_S:
            raise _NoAnswerError(gone)


def _submit(
    loop: asyncio.AbstractEventLoop, call: Callable[[], Coroutine[Any, Any, T]]
) -> concurrent.futures.Future[T]:
    check_reachable(loop)
    coroutine = call()
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:  # it was closed just now
        coroutine.close()
        check_reachable(loop)
        raise


def _settle_here(here: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the waiting loop is closed
        here.call_soon_threadsafe(settle, woken)


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
