"""A thread that calls functions at fixed intervals and outlives their errors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

import redis

logger = logging.getLogger(__name__)


class PeriodicThread(threading.Thread):
    """Calls each key of `work` at its interval in seconds until `stop`, then `close`; errors end nothing.

    An error is logged at level debug, and the next round is the retry. What the broker refuses will not pass
    by itself: it is logged as an error, each once.
    """

    def __init__(
        self, work: Mapping[Callable[[], object], float], *, close: Callable[[], object], name: str
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._close = close
        self._stopped = threading.Event()
        self._refused: set[str] = set()

    def run(self) -> None:
        """Call each function when it is due, until stopped."""
        due = dict.fromkeys(self._work, 0.0)
        while not self._stopped.is_set():
            for piece, interval in self._work.items():
                if time.monotonic() >= due[piece]:
                    self._attempt(piece)
                    due[piece] = time.monotonic() + interval
            self._stopped.wait(max(0.0, min(due.values()) - time.monotonic()))
        self._attempt(self._close)

    def stop(self) -> None:
        """End the thread after what it does now."""
        self._stopped.set()

    def _attempt(self, piece: Callable[[], object]) -> None:
        try:
            piece()
        except redis.ResponseError as error:
            if (text := str(error)) not in self._refused:
                self._refused.add(text)
                logger.error("%s: %s", self.name, text)  # noqa: TRY400 - the text says all
        except Exception:  # the next round is the retry
            logger.debug("the broker did not answer", exc_info=True)
