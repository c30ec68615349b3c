"""Wait for the journal's writer, wherever Celery's code runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
from typing import Any, TypeVar

T = TypeVar("T")


def waited(future: concurrent.futures.Future[T]) -> T:
    """Return what the future has; raise its error.

    The tracer of a coroutine task waits on the loop without holding it (see `worker.greenlet_bridge`). Any
    other caller waits as it would for a broker, a coroutine on the loop's thread included.
    """
    if not future.done():
        greenlet: Any = sys.modules.get("greenlet")
        here: Any = None if greenlet is None else greenlet.getcurrent()
        if getattr(here, "awaits_coroutine", None) is False:
            result: T = here.parent.switch(_awaited(future))
            return result
    return future.result()


async def _awaited(future: concurrent.futures.Future[T]) -> T:
    return await asyncio.wrap_future(future)
