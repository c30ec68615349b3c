"""DaemonThreadPool: at most `limit` daemon threads that run jobs, each one at a time.

Unlike in `concurrent.futures`, nothing waits for a thread without limit, not even the interpreter's exit.
Threads are started on demand and end after `idle_s` without work. A job that waits for a thread can be
withdrawn. A running job that cannot be stopped can be marked as lost: its thread no longer counts and
another may take its place, so that stuck work does not block the rest. At most `limit` threads can be
lost at a time; then jobs wait.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class Job:
    """A call to make on a thread, and its outcome: a `result` or an `error`."""

    __slots__ = ("_call", "begun", "error", "lost", "name", "on_end", "result", "stop_requested")

    def __init__(self, name: str, call: Callable[[], object]) -> None:
        self.name = name
        self._call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.on_end: Callable[[], object] | None = None
        #: Whether a thread has taken it; until then it waits for one.
        self.begun = False
        self.stop_requested = False
        self.lost = False

    def stop(self) -> None:
        """Ask it to end; a thread has to check `stop_requested` itself. Any thread."""
        self.stop_requested = True

    def kill(self) -> bool:
        """End it by force; return False if that is impossible. A thread is only asked. Any thread."""
        self.stop_requested = True
        return False

    def run(self) -> None:
        """Make the call and keep its outcome; never raises."""
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
        """Run the job as soon as a thread is free, then call its `on_end` on that thread. Any thread.

        Raise RuntimeError if there is no thread and none can be started.
        """
        with self._work:
            self._waiting[job] = None
            if self._idle >= len(self._waiting):
                self._work.notify()
            else:
                self._hire(job)

    def resize(self, limit: int) -> None:
        """Have at most `limit` threads from now on; threads beyond it end when they are idle. Any thread."""
        with self._work:
            self.limit = limit
            for job in list(self._waiting)[: limit - len(self._threads) + self._lost]:
                self._hire(job)

    def reset(self) -> None:
        """Forget all jobs and threads, in a fork of the process."""
        self.__init__(self.kind, self.limit, self.idle_s, self._leave)  # type: ignore[misc]

    def withdraw(self, job: Job) -> bool:
        """Remove a job that waits for a thread; return False if it has begun. Any thread."""
        with self._work:
            return self._waiting.pop(job, self) is None

    def lose(self, job: Job) -> None:
        """Mark a job that cannot be stopped as lost; it may go on. Any thread."""
        with self._work:
            if self._lost < self.limit and job in self._running.values():
                job.lost = True
                self._lost += 1
                if self._waiting:
                    self._hire(job)

    def running(self) -> list[Job]:
        """Return the jobs that run now, including lost ones. Any thread."""
        with self._work:
            return list(self._running.values())

    def wait(self, seconds: float) -> list[Job]:
        """Wait until no job runs, at most `seconds`; return the jobs that still run."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running, seconds)
            return list(self._running.values())

    def release(self, seconds: float) -> bool:
        """End the idle threads and wait for that; return False if it takes longer than `seconds`."""
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
        """Return the next job; None if the thread is to end, which then no longer counts."""
        with self._work:
            self._idle += not is_idle
            if not self._waiting and not self._closing:
                self._work.wait_for(lambda: self._waiting or self._closing, self.idle_s)
            self._idle -= 1
            if self._waiting:
                job = self._running[thread] = self._waiting.popitem(last=False)[0]
                job.begun = True
                return job
            self._part(thread)
            return None

    def _ended(self, thread: threading.Thread, job: Job) -> bool:
        """Record the end before `on_end`, so that the next job finds a thread; return False if lost."""
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
