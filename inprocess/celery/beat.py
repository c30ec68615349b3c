"""Beat: the app's `beat_schedule`, crontabs included, in a GenServer of the app's supervision tree.

Celery decides when an entry is due. Differences from a beat process: it does not wake early and spin before
a tick; the last runs are kept in memory, for as long as the run lasts, not in a file; and each process that
runs the app has a beat: see `Leased` for one beat among several replicas.

A failed tick is logged by Celery, and the entry goes on.
"""

from __future__ import annotations

from typing import Any, Final

from celery.beat import Scheduler

from inprocess.supervision.core.clock import Timer
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.servers.gen_server import GenServer

#: The message at which the schedule is checked.
TICK: Final = "tick"
#: Most seconds between two checks, so that entries added meanwhile are found.
LOOK_S: Final = 5.0


class InMemoryScheduler(Scheduler):
    """Celery's scheduler, without its early wake-ups: timers are exact here."""

    def adjust(self, n: float, drift: float = 0.0) -> float:
        """Return the seconds to wait, unchanged."""
        return n + drift if n and n > 0 else n


class Beat(GenServer):
    """See the module."""

    __slots__ = ("_scheduler", "_timer")

    def init(self, scheduler: Any) -> None:
        """Start ticking."""
        self._scheduler = scheduler
        self._timer: Timer | None = self.send_after(0.0, TICK)

    def handle_info(self, message: Any) -> None:
        """Send what is due, and wait until the next entry is."""
        if message != TICK:
            super().handle_info(message)
        elif self._timer is not None:
            self._timer = self.send_after(min(self._scheduler.tick(), LOOK_S), TICK)

    def quiet(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def terminate(self, _ended: Exit) -> None:
        """Like `quiet`."""
        self.quiet()
