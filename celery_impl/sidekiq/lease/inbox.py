"""Jobs that were fetched and have not begun, where each runs in the worker's own thread (Celery's pool solo).

There the event loop stands still while a job runs, and a turn of it costs more than a small job. So

1. the channel runs the jobs of a fetch, acknowledges them with the next fetch, in one packet, and runs what
   that brings, for TURN_S; then the event loop has its turn: remote control, timers, a stop.
2. A finished job's acknowledgement waits for that packet. It is sent alone where `ack_batch` wait, or one has
   for ACK_S and another job is about to begin. So a kill repeats `ack_batch` finished jobs at most.
3. A thread looks every LOOK_S, since a job may take long: it sends what waits to be acknowledged.
4. Where jobs have waited behind that job for WAIT_S, their queues are empty and there are other workers, the
   thread gives them back as they came: somebody else is idle, or soon is.

A job is taken from the left by the worker, from the right by the thread: one of the two has it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from celery_impl.sidekiq.lease.fetch import Job
from celery_impl.sidekiq.lease.holder import Holder
from celery_impl.sidekiq.redis.periodic_thread import PeriodicThread

#: Finished jobs whose acknowledgement may wait for the next fetch.
ACK_BATCH: Final = 10
#: Seconds after which an acknowledgement does not wait for a job to end that is about to begin.
ACK_S: Final = 0.02
#: Seconds for which jobs run without a turn of the event loop.
TURN_S: Final = 0.05
#: Seconds between two looks of the thread.
LOOK_S: Final = 0.05
#: Seconds for which jobs wait behind another before they go back to an idle worker.
WAIT_S: Final = 0.25


class Inbox:
    """The fetched jobs of one channel. `keys` returns those of its queues in the broker, without prefix."""

    def __init__(self, holder: Holder, *, ack_batch: int, keys: Callable[[], Sequence[str]]) -> None:
        self._holder = holder
        self._ack_batch = ack_batch
        self._keys = keys
        self._jobs: deque[Job] = deque()
        self._since = 0.0
        self._thread = PeriodicThread({self.look: LOOK_S}, close=lambda: None, name="sidekiq-inbox")
        self._thread.start()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._jobs)

    def add(self, jobs: Sequence[Job]) -> None:
        """Add fetched jobs behind those that wait."""
        if jobs:
            self._since = time.monotonic()
            self._jobs.extend(jobs)

    def next(self) -> Job | None:
        """Return the job that is to begin now, or None; what must not wait for its end is acknowledged."""
        try:
            job = self._jobs.popleft()
        except IndexError:
            return None
        holder = self._holder
        if holder.noted >= self._ack_batch or holder.noted_for_s() > ACK_S:
            holder.send_noted()
        return job

    def look(self) -> None:
        """One look of the thread; raise redis-py's errors."""
        if self._holder.noted_for_s() > ACK_S:
            self._holder.send_noted()
        if not self._jobs or time.monotonic() - self._since < WAIT_S:
            return
        self._since = time.monotonic()
        if self._holder.leases.others_lack_work(self._keys()):
            self._give_back()

    def _give_back(self) -> None:
        waiting: list[str] = []
        while self._jobs:
            try:
                job = self._jobs.pop()
            except IndexError:  # the worker has taken the last
                break
            waiting.append(job.message["properties"]["delivery_tag"])
        if waiting:
            self._holder.return_unstarted(waiting)

    def close(self) -> None:
        """End the thread. What waits stays held, and goes back with all that does not run."""
        self._thread.stop()
        self._holder.send_noted()
