"""The event loop of the pool, on a thread of its own, and the way back to the worker's thread.

Celery's tracer, its acknowledgements, results and signals stay on the worker's thread. Only the coroutines of
tasks run here. Both ways are queues that wake the other side once for any number of entries, at the end of a
turn of the waking side's loop: threads that wake each other for each entry fight for the interpreter's lock,
which costs more than the entries do.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

from inprocess.supervision.core.log import log
from inprocess.supervision.core.scheduler import scheduler_of

#: What a call on the loop's thread or the worker's thread is.
Call = Callable[[], object]
#: Bytes that one read takes from the pipe: each wake-up is one byte, and one is outstanding at most.
PIPE_BYTES: Final = 64


class Inbox:
    """Calls that wait for one thread. Any thread adds; `wake` is called once until `run` begins."""

    def __init__(self, wake: Call) -> None:
        self._wake = wake
        self._calls: deque[Call] = deque()
        self._lock = threading.Lock()
        self._is_awake = False

    def add(self, call: Call) -> None:
        """Have the thread make the call soon, in the order of the calls."""
        with self._lock:
            self._calls.append(call)
            wake, self._is_awake = not self._is_awake, True
        if wake:
            self._wake()

    def run(self) -> None:
        """Make the calls that wait. If one raises, the rest stays for the next time, and it is raised."""
        with self._lock:
            self._is_awake = False
        while self._calls:
            try:
                self._calls.popleft()()
            except BaseException:
                self.wake_if_any()
                raise

    def wake_if_any(self) -> None:
        """Wake the thread once more where calls wait."""
        with self._lock:
            wake = bool(self._calls) and not self._is_awake
            self._is_awake = self._is_awake or wake
        if wake:
            self._wake()


class LoopThread:
    """An event loop on a daemon thread, from `start` to `stop`.

    `on_loop` adds a call for the loop's thread, `on_worker` one for the worker's. `fd` becomes readable to
    wake the worker's thread, which then calls `run_worker_calls`.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="celery-aio-loop", daemon=True)
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._worker_id: int | None = None
        self._for_loop = Inbox(self._wake_loop_after_turn)
        self._for_worker = Inbox(self._wake_worker_after_turn)
        self.on_loop: Final = self._for_loop.add
        self.on_worker: Final = self._for_worker.add

    @property
    def thread_id(self) -> int | None:
        """The thread's identity."""
        return self._thread.ident

    def start(self) -> None:
        """Start the thread. Worker's thread only."""
        self._worker_id = threading.get_ident()
        self._thread.start()

    def stop(self, wait_s: float) -> bool:
        """Cancel what runs, end the loop, and return whether the thread ended within `wait_s` seconds."""
        self.wake_loop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def create_task(self, coroutine: Any, context: Context, name: str) -> asyncio.Task[Any]:
        """Create a task in a context. Loop's thread only."""
        return self.loop.create_task(coroutine, context=context, name=name)

    def run_worker_calls(self, *_: object) -> None:
        """Make the calls that wait for the worker's thread. Worker's thread only."""
        with suppress(BlockingIOError):  # woken by nobody: the pool stops and looks by itself
            os.read(self.fd, PIPE_BYTES)
        self._for_worker.run()

    def wake_loop(self) -> None:
        """Have the loop's thread make its calls now, not after this turn of the worker's event loop."""
        try:
            self.loop.call_soon_threadsafe(self._for_loop.run)
        except RuntimeError:
            log.warning("a coroutine task was not run: the pool's event loop has ended")

    def _wake_loop_after_turn(self) -> None:
        if threading.get_ident() == self._worker_id:
            self.on_worker(self.wake_loop)
        else:
            self.wake_loop()

    def _wake_worker_after_turn(self) -> None:
        if threading.get_ident() == self._thread.ident and self.loop.is_running():
            self.loop.call_soon(self._wake_worker)
        else:
            self._wake_worker()

    def _wake_worker(self) -> None:
        with suppress(BlockingIOError):  # it is readable already
            os.write(self._write_fd, b"\0")

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(scheduler_of, self.loop)  # from then on the watchdog looks after it
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=1))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()
