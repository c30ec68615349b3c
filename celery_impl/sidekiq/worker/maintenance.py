"""One thread in every worker: it queues what is due, renews leases and sends deferred acknowledgements.

A thread, because the solo pool blocks the worker's event loop for as long as a job runs. Each worker
has one, so any worker may die. It has a connection of its own and outlives every broker error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from queue import Empty
from typing import Any, Final

from celery import bootsteps
from celery.concurrency.thread import TaskPool as ThreadPool

from celery_impl.sidekiq.beat import runs
from celery_impl.sidekiq.enqueue import lost_chords
from celery_impl.sidekiq.jobs.broker_support import is_in_memory
from celery_impl.sidekiq.lease.channel import Channel
from celery_impl.sidekiq.lease.unacked import ADOPT_S, Adoption
from celery_impl.sidekiq.redis.deferred_acks import DeferredAcks
from celery_impl.sidekiq.redis.periodic_thread import PeriodicThread
from celery_impl.sidekiq.worker import scheduled_jobs
from celery_impl.sidekiq.worker.heartbeat import BEAT_S, Heartbeat

#: Seconds between two looks for entries that are due; their lateness is below this plus the queue's.
POLL_S: Final = 0.25
#: Seconds between two looks for dead processes. Celery's news of one often comes a moment too early to
#: be confirmed, and its own next look is 5 s away.
REAP_S: Final = 0.5
#: Seconds between two renewals; the visibility timeout must be a few times as long.
RENEW_S: Final = 1.0


class MaintenanceStep(bootsteps.StartStopStep):
    """Starts the thread once the worker consumes, and ends it when the worker or its connection does."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._thread: PeriodicThread | None = None
        self._deferred = DeferredAcks(_running)
        self._heart = Heartbeat(consumer)
        self._reaper: Any = None
        scheduled_jobs.show()
        super().__init__(consumer, **options)

    def include_if(self, parent: Any) -> bool:
        """Not where the broker is in memory: the sets there need no worker."""
        return not is_in_memory(parent.app)

    def start(self, consumer: Any) -> None:
        """Start the thread, with a connection of its own."""
        channel = consumer.task_consumer.channel
        channel.deferred = self._deferred
        processes: Any = getattr(consumer.pool, "_pool", None)
        if hasattr(processes, "maintain_pool"):  # prefork's; pinned by a test
            _watch_again(processes)
            self._reaper = consumer.timer.call_repeatedly(REAP_S, processes.maintain_pool)
        else:
            channel.runs_jobs_here = True
            pool: Any = consumer.pool
            if issubclass(type(pool), ThreadPool):
                pool.flush = partial(_cancel_waiting, pool.executor)
        own = consumer.app.connection_for_write()
        # Connected here and not in the thread: kombu does it under a lock, and a job's process that is
        # forked meanwhile would find that lock held for ever.
        own.connect()
        through = own.default_channel
        sets = through.sets

        def renew() -> None:
            channel.qos.renew(sets)

        def flush() -> None:
            self._deferred.flush(through)

        def beat() -> None:
            self._heart.beat(sets, time.time())

        def mark() -> None:
            runs.renew(sets, _worker_state().active_requests)

        work: dict[Callable[[], object], float] = {
            sets.promote: POLL_S,
            flush: POLL_S,
            renew: RENEW_S,
            beat: BEAT_S,
        }
        work[mark] = RENEW_S
        work[lambda: lost_chords.bury_lost(consumer.app, sets)] = lost_chords.LOOK_S
        if isinstance(through, Channel):
            work[Adoption(through).look] = ADOPT_S
        self._thread = PeriodicThread(work, close=own.release, name="sidekiq-maintenance")
        self._thread.start()

    def stop(self, consumer: Any) -> None:
        """End the thread with the connection; when the worker stops, its last jobs still need renewing."""
        if not _stopping():
            self.shutdown(consumer)

    def shutdown(self, _consumer: Any) -> None:
        """End the thread; it holds nothing that would be lost."""
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        if self._thread is not None:
            self._thread.stop()
            self._thread = None


def _cancel_waiting(executor: Any) -> None:
    """Cancel what waits in a pool of threads when the connection is lost: it goes back, and comes again."""
    waiting = executor._work_queue  # noqa: SLF001 - as the executor's own shutdown does; pinned by a test
    while True:
        try:
            item = waiting.get_nowait()
        except Empty:
            return
        if item is not None:
            item.future.cancel()


def _watch_again(processes: Any) -> None:
    """Have Celery watch every process of the pool, so that it does not fail in doing so.

    1. Two processes end at once; on the news of the first, Celery clears up and replaces both.
    2. The news of the second now meets a file descriptor of its successor: the living successor is
       taken off the watch, and marked by None in place of a descriptor.
    3. At the next loss of the connection Celery watches all anew, and None would end the worker.
    """
    for process in processes._pool:  # noqa: SLF001 - pinned by a test
        if getattr(process, "_sentinel_poll", 0) is None:
            del process._sentinel_poll  # noqa: SLF001 - pinned by a test


def _worker_state() -> Any:
    from celery.worker import state  # late: an app that only sends jobs need not load the worker

    return state


def _stopping() -> bool:
    state = _worker_state()
    return state.should_stop is not None or state.should_terminate is not None


def _running() -> set[str]:
    return {request.message.delivery_tag for request in tuple(_worker_state().active_requests)}
