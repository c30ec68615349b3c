"""Keeps jobs that the broker did not take in this process, and sends them in order when the broker is back.

As Sidekiq Pro's reliable push; `Sidekiq(app, buffer=1000)` turns it on. It

1. keeps a job whose sending failed because the broker refuses or is silent; `delay()` then returns as usual;
2. keeps every later one behind it, at once and without asking the broker, so that the order stays;
3. sends from a daemon thread, first after 0.1 s and then at most every 5 s, until nothing is kept;
4. tries once more when the process ends, and logs each job that it could not send, as an error;
5. raises BufferFullError for a job that does not fit.

**What it costs: the jobs that are kept die with the process**, at SIGKILL, `os._exit` and an unhandled
SIGTERM without a line in the log. If no job may be lost, leave the buffer off and let `delay()` raise.
A silent broker may have got a job before its time was over; such a job is sent again under the same id, so it
may run twice. A forked child starts with an empty buffer: what its parent keeps is sent by its parent.

Not kept, so that it raises as before: what a running job sends (the job is retried, and nothing is lost),
what is sent through a producer of the caller's (a batch), unique jobs (without the broker that is not known),
and `app.send_task` by name.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kombu.exceptions import OperationalError

#: Seconds until the first attempt to send the jobs, and the longest time between two attempts.
FIRST_RETRY_S: Final = 0.1
LONGEST_RETRY_S: Final = 5.0
#: Seconds that the last attempt may take when the process ends; jobs that are left are logged.
EXIT_S: Final = 2.0

logger = logging.getLogger(__name__)


class BufferFullError(OperationalError):
    """The broker is away and the local buffer is full: the job was not taken."""


@dataclass(frozen=True, slots=True)
class BufferedJob:
    """A job in the buffer: a function that sends it, and its name in the log."""

    send: Callable[[], object]
    name: str


class Buffer:
    """At most `limit` jobs of this process; any thread may use it. Raise ValueError for a limit below 1."""

    _jobs: deque[BufferedJob]
    _lock: threading.Lock
    _sending: threading.Lock
    _stopped: threading.Event
    _thread: threading.Thread | None

    def __init__(self, limit: int) -> None:
        if type(limit) is not int or limit < 1:
            raise ValueError(f"buffer is {limit!r}: expected a whole number of jobs from 1")
        self.limit = limit
        self._forget()
        _buffers.add(self)

    def __len__(self) -> int:
        """Return the number of jobs in the buffer."""
        return len(self._jobs)

    def add(self, job: BufferedJob, error: Exception | None = None) -> None:
        """Add a job, whose sending failed with `error`, until the broker is back; raise BufferFullError."""
        with self._lock:
            if len(self._jobs) >= self.limit:
                raise BufferFullError(
                    f"the broker is away and the buffer is full ({self.limit} jobs): {job.name} was not "
                    "taken; see that the broker runs, or give Sidekiq(app, buffer=…) more room"
                ) from error
            self._jobs.append(job)
            if self._thread is None:
                logger.warning(
                    "the broker does not take jobs (%s): up to %s are kept in this process", error, self.limit
                )
                self._thread = threading.Thread(target=self._run, name="sidekiq-buffer", daemon=True)
                self._thread.start()

    def flush(self, within_s: float | None = None) -> bool:
        """Send the jobs, oldest first, until one fails or `within_s` is over; return whether all are sent."""
        until = None if within_s is None else time.monotonic() + within_s
        with self._sending:
            while self._jobs and (until is None or time.monotonic() < until):
                job = self._jobs[0]
                try:
                    job.send()
                except OperationalError:
                    return False
                except Exception:  # it will never be sent, and those behind it shall be
                    logger.exception("%s cannot be sent and is dropped", job.name)
                self._jobs.popleft()
        return not self._jobs

    def close(self, within_s: float = EXIT_S) -> list[str]:
        """Try once more, log and return the names of the jobs that could not be sent, and drop them."""
        self._stopped.set()
        if self._jobs and self._sending.acquire(timeout=within_s):
            self._sending.release()
            self.flush(within_s)
        with self._lock:
            lost, self._jobs = [job.name for job in self._jobs], deque()
        for name in lost:
            logger.error("lost with this process, because the broker is away: %s", name)
        return lost

    def _forget(self) -> None:
        self._jobs = deque()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._stopped = threading.Event()
        self._thread = None

    def _run(self) -> None:
        wait = FIRST_RETRY_S
        while not self._stopped.wait(wait):
            if not self.flush():
                wait = min(2 * wait, LONGEST_RETRY_S)
            elif self._ended():
                return

    def _ended(self) -> bool:
        """End the thread unless something came meanwhile; it does so under the lock that `add` takes."""
        with self._lock:
            if not self._jobs:
                self._thread = None
                logger.warning("the broker takes jobs again: all that were kept are sent")
            return self._thread is None


_buffers: Final[weakref.WeakSet[Buffer]] = weakref.WeakSet()


def _after_fork() -> None:
    for buffer in tuple(_buffers):
        buffer._forget()  # noqa: SLF001 - a lock of the parent's may be held for ever here


def _at_exit() -> None:
    for buffer in tuple(_buffers):
        buffer.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
