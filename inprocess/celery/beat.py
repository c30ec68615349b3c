"""Beat: the app's `beat_schedule`, crontabs included, in a GenServer of the app's supervision tree.

Celery decides when an entry is due. Differences from a beat process: it does not wake early and spin before
a tick; the last runs are kept where `beat_state=` of `run_in_process` says, and else in memory, where
Celery's beat has its celerybeat-schedule; and each process that runs the app has a beat: see `Leased` for
one beat among several replicas.

An entry that came due while no beat ran is sent once, at the start, as by Celery's own.

A failed tick is logged by Celery, and the entry goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import crontab

from inprocess.supervision.core.clock import Timer
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.periodic.tick_store import TickStore, all_saved, load, save_soon
from inprocess.supervision.servers.gen_server import GenServer

#: The message at which the schedule is checked.
TICK: Final = "tick"
#: Most seconds between two checks, so that entries added meanwhile are found.
LOOK_S: Final = 5.0
#: Interval, s, from which on a beat that forgets its last runs says so: an app may well be restarted sooner.
LONG_S: Final = 86_400.0
#: Seconds between two looks at whether the last runs are saved.
SAVED_S: Final = 0.01


class BeatScheduler(Scheduler):
    """Celery's scheduler, without its early wake-ups: timers are exact here. The last runs are in `store`."""

    def __init__(
        self,
        app: Any,
        *,
        store: TickStore | None = None,
        once: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._store = store
        self._once = once
        #: The last run of each entry before the one that was reserved, which tells its ticks apart.
        self._ticks: dict[str, datetime] = {}
        super().__init__(app)  # which calls `setup_schedule`

    def setup_schedule(self) -> None:
        """Make the entries, each with its last run."""
        super().setup_schedule()
        for entry in self.schedule.values():
            if self._store is not None:
                self._go_on(entry, self._store)
        long = [entry.name for entry in self.schedule.values() if _is_long(entry)]
        if long and self._store is None:
            log.warning(
                "the beat keeps no last run, so what is due once a day or less often begins anew at each "
                "start (%s): give run_in_process(beat_state=FileTickStore(path))",
                ", ".join(sorted(map(str, long))),
            )

    def reserve(self, entry: Any) -> Any:  # the stubs take the heap's event for the entry
        """Count a run of the entry, which is about to be sent; return the entry for the next."""
        self._ticks[str(entry.name)] = entry.last_run_at
        return super().reserve(entry)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send an entry that was reserved, and then note that it was.

        With `once`, the block in which a message that is there already is not sent again, each tick has an
        id of its own: a process that is killed in between does not send it twice.
        """
        reserved: Any = self.schedule.get(entry.name)
        tick = self._ticks.get(str(entry.name))
        if tick is not None and self._once is not None and "task_id" not in entry.options:
            name = f"{self.app.main}:{entry.name}:{round(tick.timestamp() * 1e6)}"
            entry = copy(entry)
            entry.options = {**entry.options, "task_id": str(uuid5(NAMESPACE_URL, name))}
        with nullcontext() if self._once is None else self._once():
            super().apply_entry(entry, producer)
        if self._store is not None and reserved is not None:
            save_soon(self._store, reserved.name, reserved.last_run_at.timestamp())

    def _go_on(self, entry: ScheduleEntry, store: TickStore) -> None:
        name, now = str(entry.name), entry.default_now()
        last = load(store, name)
        if last is None or last > now.timestamp():
            save_soon(store, name, now.timestamp())
        else:
            entry.last_run_at = datetime.fromtimestamp(last, UTC).astimezone(now.tzinfo)

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

    async def idle(self) -> None:
        """Wait until the last runs are saved."""
        while not all_saved():  # noqa: ASYNC110 - by a thread
            await asyncio.sleep(SAVED_S)

    def quiet(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def terminate(self, _ended: Exit) -> None:
        """Like `quiet`."""
        self.quiet()


def _is_long(entry: ScheduleEntry) -> bool:
    """Whether it is due every LONG_S or less often, and by no moment of the day."""
    every = getattr(entry.schedule, "run_every", None)
    return every is not None and not isinstance(entry.schedule, crontab) and every.total_seconds() >= LONG_S
