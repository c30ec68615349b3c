"""LoopThreads: a loop's default executor, where `asyncio.to_thread` runs what children call.

asyncio's own waits without limit: at the end of `asyncio.run` (Python 3.11; five minutes from 3.12 on), and
again at the interpreter's exit. A call of a child runs on a daemon thread here: the end of the loop does
not wait for it, and the interpreter's exit for EXIT_WAIT_S, and then names the child. The calls of
everybody else go to the executor that the loop had, and keep its rules. The loop of a `Runtime` has a
`LoopExecutor` instead.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from inprocess.supervision.isolation.isolation import LoopExecutor, Owner, call_for

T = TypeVar("T")


class LoopThreads(ThreadPoolExecutor):
    """See the module. `owner` returns the child that calls, if one does; `others` serves everybody else."""

    def __init__(self, owner: Callable[[], Owner | None], others: ThreadPoolExecutor) -> None:
        super().__init__(max_workers=1)  # starts no thread of its own
        self._owner = owner
        self._others = others
        self._has_ended = False

    def submit(self, function: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        """See `concurrent.futures.Executor.submit`."""
        owner = None if self._has_ended else self._owner()
        if owner is None:
            return self._others.submit(function, *args, **options)
        return call_for(owner, partial(function, *args, **options))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the standard library's signature
        """Shut down the executor of the others; the calls of children go on."""
        self._has_ended = True
        self._others.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait=False)


def serve_children(loop: asyncio.AbstractEventLoop, owner: Callable[[], Owner | None]) -> None:
    """Make it the loop's default executor, unless it is, or a runtime's is there, which is told of `owner`.

    Loop's thread only.
    """
    known = getattr(loop, "_default_executor", None)
    if known is None:  # uvloop has it too, without an attribute that tells
        known = next((held for held in gc.get_referents(loop) if isinstance(held, ThreadPoolExecutor)), None)
    if isinstance(known, LoopExecutor):
        known.owner = owner
    elif not isinstance(known, LoopThreads):
        others = known or ThreadPoolExecutor(thread_name_prefix="asyncio")
        loop.set_default_executor(LoopThreads(owner, others))
