"""Where background work lives when its caller has no event loop: a loop on a thread of its own.

`Runtime` hosts one: started once, drained when the interpreter ends. An async app has a loop
already and calls `attach` in its lifespan instead; then calls from the app's worker threads
find their way to that loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # registers its exit hook first, so that ours runs before it
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import Any, Self, TypeVar

from inprocess.supervision.process import log

#: Seconds that the start of a runtime may take.
START_TIMEOUT_S = 10.0
#: Seconds beyond the application's own drain that the end of a runtime may take.
STOP_TIMEOUT_S = 30.0

T = TypeVar("T")

_attached: list[asyncio.AbstractEventLoop] = []


class Runtime:
    """An event loop on a daemon thread, with an application (an async context manager) inside.

    `start` returns once the application is entered; `stop`, called at the interpreter's exit
    at the latest, leaves it. Both may be called again and from any thread.
    """

    def __init__(
        self,
        application: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
        *,
        name: str = "inprocess",
    ) -> None:
        self._application = application
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, once started."""
        return self._loop

    def start(self) -> Self:
        """Start the thread and enter the application; raise what the application raised."""
        with self._lock:
            if self._thread is None:
                self._start()
        return self

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the loop and return its result; never call this on the loop's own thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def stop(self) -> None:
        """Leave the application, which drains it, and end the thread; report where it does not end."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join(STOP_TIMEOUT_S)
        if thread.is_alive():
            log.error("the runtime %s did not end within %g s and was abandoned", self._name, STOP_TIMEOUT_S)

    def _start(self) -> None:
        entered: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._host, args=(entered,), name=self._name, daemon=True)
        self._thread.start()
        try:
            entered.result(START_TIMEOUT_S)
        except BaseException:
            self._thread = None
            raise
        _before_exit(self.stop)

    def _host(self, entered: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._live(entered))
        except BaseException as error:  # noqa: BLE001 - handed to who started the runtime, or logged
            if entered.done():
                log.exception("the runtime %s ended with an error", self._name)
            else:
                entered.set_exception(error)

    async def _live(self, entered: concurrent.futures.Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        with attach(self._loop):
            async with self._application():
                entered.set_result(None)
                await self._stopping.wait()


@contextmanager
def attach(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Make the loop the home of callers that have none, as long as the block runs."""
    _attached.append(loop)
    try:
        yield
    finally:
        _attached.remove(loop)


_shared = Runtime()


def home_loop() -> asyncio.AbstractEventLoop:
    """The running loop, else the one attached last, else that of a Runtime started now."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return _attached[-1] if _attached else _shared.start().loop


def _before_exit(stop: Callable[[], None]) -> None:
    """Call `stop` when the interpreter begins to end, while threads can still be used.

    `atexit` is too late: by then the pools that drained work needs refuse to start a thread.
    """
    threading._register_atexit(stop)  # type: ignore[attr-defined]  # noqa: SLF001 - no public hook comes in time
