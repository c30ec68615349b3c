"""A `beat_scheduler` of the app's own (django-celery-beat, redbeat …), as Celery's beat process runs it.

It runs in a thread: it may ask a database or Redis, and wait there. `beat_init` is sent, with Celery's
Service. An
error of the scheduler is logged, and it goes on after PAUSE_S, where a beat process would end and be
started again.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Final

from celery import signals
from celery.beat import PersistentScheduler, Scheduler, Service

from inprocess.celery.celery_internals.internals import symbol_by_name
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.servers.gen_server import GenServer

#: Seconds after an error of the scheduler.
PAUSE_S: Final = 5.0
#: Seconds for which it waits at most, so that entries added meanwhile are found.
LOOK_S: Final = 5.0
#: Seconds that it gets to be made, and to end.
START_S: Final = 8.0
END_S: Final = 5.0


def own_scheduler(app: Any) -> type[Any] | None:
    """Return the class of the app's own scheduler; None where it has Celery's."""
    found: type[Any] = symbol_by_name(app.conf.beat_scheduler)
    return None if found in {PersistentScheduler, Scheduler} else found


class InProcessService(Service):
    """Celery's beat, whose sleep can be ended."""

    is_in_process = True

    def __init__(self, app: Any, scheduler: type[Any]) -> None:
        super().__init__(app, scheduler_cls=scheduler)
        self.ended = threading.Event()
        self.made = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        """Make the scheduler, set `made`, and send what is due until `ended` is set."""
        try:
            signals.beat_init.send(sender=self)
            _ = self.scheduler
        except Exception as error:  # noqa: BLE001 - raised where the run begins
            self.error = error
            return
        finally:
            self.made.set()
        while not self.ended.is_set():
            wait_s = PAUSE_S
            try:
                wait_s = min(self.scheduler.tick(), LOOK_S)
                if self.scheduler.should_sync():
                    self.scheduler._do_sync()  # type: ignore[attr-defined] # noqa: SLF001 - as Celery's own loop
            except Exception:  # noqa: BLE001 - whatever its database raises
                log.exception("the beat_scheduler of %s failed; it goes on in %g s", self.app.main, PAUSE_S)
            self.ended.wait(max(0.0, wait_s))
        self.sync()


class OwnBeat(GenServer):
    """See the module."""

    __slots__ = ("_service", "_thread")

    def init(self, app: Any, scheduler: type[Any]) -> None:
        """Start the scheduler's thread; raise what making the scheduler raises."""
        self._service = InProcessService(app, scheduler)
        self._thread = threading.Thread(target=self._run, args=(app,), name="celery.beat", daemon=True)
        self._thread.start()
        self._service.made.wait(START_S)
        if self._service.error is not None:
            raise self._service.error

    async def idle(self) -> None:
        """Wait until the scheduler has written what it keeps."""
        await asyncio.to_thread(self._thread.join, END_S)

    def quiet(self) -> None:
        """Send no more."""
        self._service.ended.set()

    def terminate(self, _ended: Exit) -> None:
        """Like `quiet`."""
        self.quiet()
        if self._thread.is_alive():
            self._thread.join(END_S)
        if self._thread.is_alive():
            log.error("the beat_scheduler of this app did not end in %g s and was abandoned", END_S)

    def _run(self, app: Any) -> None:
        app.set_current()
        self._service.run()
