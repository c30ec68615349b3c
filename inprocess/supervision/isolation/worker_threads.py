"""DaemonThreadPool: daemon threads that run jobs, one at a time each, at most `limit` of them.

Unlike `concurrent.futures` nothing here waits for a thread for ever, not even the interpreter's
exit. Threads are made when there is work for them and end after `idle_s` without. A job that
waits for a thread can be withdrawn. One that runs and cannot be stopped can be given up as
lost: its thread then counts no more and another may take its place, so that stuck work does not
starve the rest. No more than `limit` threads can be lost at a time: then jobs wait.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class Job:
    """A call to make on a thread, and then what came of it: a `result` or an `error`."""

    __slots__ = ("_call", "error", "lost", "name", "on_end", "result", "stop_requested")

    def __init__(self, name: str, call: Callable[[], object]) -> None:
        self.name = name
        self._call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.on_end: Callable[[], object] | None = None
        self.stop_requested = False
        self.lost = False

    def stop(self) -> None:
        """Ask it to end; a thread has to look at `stop_requested` by itself. Any thread."""
        self.stop_requested = True

    def kill(self) -> bool:
        """End it by force; False where that cannot be done, as with a thread, which is asked. Any thread."""
        self.stop_requested = True
        return False

    def run(self) -> None:
        """Make the call and note what came of it; raises nothing."""
        try:
            self.result = self._call()
        except BaseException as error:  # noqa: BLE001 - belongs to who waits for the job, whatever it is
            self.error = error


class DaemonThreadPool:
    """See the module. `leave` is called on each thread before it ends."""

    def __init__(self, kind: str, limit: int, idle_s: float, leave: Callable[[], object]) -> None:
        self.kind = kind
        self.limit = limit
        self.idle_s = idle_s
        self._leave = leave
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        self._changed = threading.Condition(lock)
        self._waiting: OrderedDict[Job, None] = OrderedDict()
        self._running: dict[threading.Thread, Job] = {}
        self._threads: set[threading.Thread] = set()
        self._leaving: set[threading.Thread] = set()
        self._idle = 0
        self._lost = 0
        self._closing = False

    def submit(self, job: Job) -> None:
        """Run the job as soon as a thread is free; `on_end` is called then, on that thread. Any thread.

        Raise RuntimeError where there is no thread and none can be made.
        """
        with self._work:
            self._waiting[job] = None
            if self._idle >= len(self._waiting):
                self._work.notify()
            else:
                self._hire(job)

    def resize(self, limit: int) -> None:
        """Have at most `limit` threads from now on; those beyond it end when they are idle. Any thread."""
        with self._work:
            self.limit = limit
            for job in list(self._waiting)[: limit - len(self._threads) + self._lost]:
                self._hire(job)

    def reset(self) -> None:
        """Forget all jobs and threads, in a fork of the process that had them."""
        self.__init__(self.kind, self.limit, self.idle_s, self._leave)  # type: ignore[misc]

    def withdraw(self, job: Job) -> bool:
        """Take back a job that waits for a thread; False where it has begun. Any thread."""
        with self._work:
            return self._waiting.pop(job, self) is None

    def lose(self, job: Job) -> None:
        """Give up on a job that cannot be stopped; it may go on. Any thread."""
        with self._work:
            if self._lost < self.limit and job in self._running.values():
                job.lost = True
                self._lost += 1
                if self._waiting:
                    self._hire(job)

    def running(self) -> list[Job]:
        """The jobs that run now, lost ones included. Any thread."""
        with self._work:
            return list(self._running.values())

    def wait(self, seconds: float) -> list[Job]:
        """Wait until no job runs, for `seconds` at most, and return those that still do."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running, seconds)
            return list(self._running.values())

    def release(self, seconds: float) -> bool:
        """End the idle threads and wait for that; False where it took longer than `seconds`."""
        with self._changed:
            self._closing = True
            self._work.notify_all()
            ended = self._changed.wait_for(self._only_busy, seconds)
            self._closing = False
            return ended

    def _only_busy(self) -> bool:
        return not self._leaving and len(self._threads) == len(self._running)

    def _hire(self, job: Job) -> None:
        if len(self._threads) - self._lost >= self.limit:
            return
        thread = threading.Thread(target=self._serve, name=f"inprocess {self.kind}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                self._waiting.pop(job, None)
                raise
        else:
            self._threads.add(thread)

    def _serve(self) -> None:
        thread = threading.current_thread()
        job = self._next(thread, is_idle=False)
        while job is not None:
            thread.name = f"inprocess {self.kind}: {job.name}"
            job.run()
            thread.name = f"inprocess {self.kind}"
            stays = self._ended(thread, job)
            if job.on_end is not None:
                job.on_end()
            job = None  # nor hold its result while idle
            if stays:
                job = self._next(thread, is_idle=True)
        self._leave()
        with self._changed:
            self._leaving.discard(thread)
            self._changed.notify_all()

    def _next(self, thread: threading.Thread, *, is_idle: bool) -> Job | None:
        """The next job; None, and the thread counts no more, where it is to end."""
        with self._work:
            self._idle += not is_idle
            if not self._waiting and not self._closing:
                self._work.wait_for(lambda: self._waiting or self._closing, self.idle_s)
            self._idle -= 1
            if self._waiting:
                job = self._running[thread] = self._waiting.popitem(last=False)[0]
                return job
            self._part(thread)
            return None

    def _ended(self, thread: threading.Thread, job: Job) -> bool:
        """Note the end before anyone is told, so that the next job finds a thread; False if lost."""
        with self._changed:
            del self._running[thread]
            if job.lost:  # another has its place
                self._lost -= 1
                self._part(thread)
            else:
                self._idle += 1
            if not self._running or self._closing:
                self._changed.notify_all()
            return not job.lost

    def _part(self, thread: threading.Thread) -> None:
        self._threads.discard(thread)
        self._leaving.add(thread)
