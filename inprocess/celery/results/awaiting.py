"""Wait for a result in a coroutine, without blocking the loop or using a thread."""

from __future__ import annotations

import asyncio
from typing import Any

from celery.exceptions import TimeoutError as ResultTimeoutError

from inprocess.celery.results.backend import InProcessBackend
from inprocess.supervision.core.clock import settle


async def result(async_result: Any, *, timeout_s: float | None = None, propagate: bool = True) -> Any:
    """Return what `async_result.get()` returns, for coroutines; also of a group or a chord.

    Raise what the task raised, unless `propagate` is false (then it is returned), and Celery's
    TimeoutError after `timeout_s` seconds; the task goes on. Results of any other backend than the one in
    memory are waited for in a thread.
    """
    if not isinstance(async_result.backend, InProcessBackend):
        return await asyncio.to_thread(async_result.get, timeout=timeout_s, propagate=propagate)
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    async_result.then(lambda *_: loop.call_soon_threadsafe(settle, ready))
    try:
        async with asyncio.timeout(timeout_s):
            await _told(ready, async_result.backend)
    except TimeoutError:
        raise ResultTimeoutError("The operation timed out.") from None
    return async_result.get(propagate=propagate, disable_sync_subtasks=False)


async def _told(ready: asyncio.Future[None], backend: InProcessBackend) -> None:
    """Wait until the result is there; look for it where another process may write it."""
    look_s = backend.store.look_s
    while look_s is not None and not ready.done():
        await asyncio.wait([ready], timeout=look_s)
        backend.result_consumer.look()
    await ready
