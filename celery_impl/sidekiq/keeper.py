"""One thread in every worker process: it queues what is due and renews what the worker holds.

A thread, because the solo pool blocks the worker's event loop for as long as a job runs. Each worker
has one, so any worker may die. It has a connection of its own and outlives every broker error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from celery import bootsteps

from celery_impl.sidekiq.sets import Sets

#: Seconds between two looks for entries that are due; their lateness is below this plus the queue's.
POLL_S: Final = 0.25
#: Seconds between two renewals; the visibility timeout must be a few times as long.
RENEW_S: Final = 1.0

logger = logging.getLogger(__name__)


class Keeper(threading.Thread):
    """Calls `promote` and `renew` of `work` until stopped; any error is logged and tried again."""

    def __init__(self, promote: Callable[[], object], renew: Callable[[], object]) -> None:
        super().__init__(name="sidekiq-keeper", daemon=True)
        self._work = (promote, renew)
        self._intervals = (POLL_S, RENEW_S)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Do each piece of work at its interval."""
        due = [0.0, 0.0]
        while not self._stopped.is_set():
            for index, piece in enumerate(self._work):
                if time.monotonic() >= due[index]:
                    _attempt(piece)
                    due[index] = time.monotonic() + self._intervals[index]
            self._stopped.wait(max(0.0, min(due) - time.monotonic()))

    def stop(self) -> None:
        """End the thread after what it does now."""
        self._stopped.set()


class KeeperStep(bootsteps.StartStopStep):
    """Starts the thread once the worker consumes, and ends it when the worker or its connection does."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._keeper: Keeper | None = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Start the thread, with a connection of its own."""
        connection = consumer.app.connection_for_write()
        channel = consumer.task_consumer.channel

        def sets() -> Sets:
            found: Sets = connection.default_channel.sets
            return found

        def renew() -> None:
            tags = list(channel.qos._delivered)  # noqa: SLF001 - pinned by a test
            if tags:
                sets().renew(channel.unacked_index_key, tags, time.time())

        self._keeper = Keeper(lambda: sets().promote(time.time()), renew)
        self._keeper.start()

    def stop(self, _consumer: Any) -> None:
        """End the thread; it holds nothing that would be lost."""
        if self._keeper is not None:
            self._keeper.stop()
            self._keeper = None

    shutdown = stop


def _attempt(piece: Callable[[], object]) -> None:
    try:
        piece()
    except Exception:  # the next round is the retry
        logger.debug("will try again", exc_info=True)
