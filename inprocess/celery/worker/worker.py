"""The worker: Celery's WorkController in a GenServer of the app's supervision tree.

It is woken when a message was sent or a slot is free, and answers remote control. A crash of the consumer
crashes the server; its supervisor restarts it and the supervisor of running tasks, and messages without
acknowledgement are delivered again.

At a drain (`quiet`) only running tasks may send more tasks. Waiting tasks still run, and so do ETAs
within the grace; the rest is reported as cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from celery import signals
from celery.utils.nodenames import default_nodename

from inprocess.celery.broker.broker import Broker
from inprocess.celery.celery_internals.internals import TERMINATE, WorkController, worker_state
from inprocess.celery.worker.consumer import consumer_class
from inprocess.celery.worker.job import JobChild, described
from inprocess.celery.worker.pool import TaskPool, Tasks
from inprocess.celery.worker.steps import stop_steps
from inprocess.celery.worker.timer import LoopTimer
from inprocess.supervision.core.clock import sleep
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.process import Held
from inprocess.supervision.core.scheduler import Scheduler
from inprocess.supervision.servers.gen_server import GenServer

#: Seconds between two looks at what is due while the tree drains.
SHORTEST_WAIT_S: Final = 0.005


class Controller(WorkController):  # type: ignore[misc]  # see internals
    """Celery's, with our pool, consumer and timer. Loop's thread only."""

    def __init__(
        self,
        app: Any,
        server: Worker,
        *,
        supervisor: Tasks,
        broker: Broker,
        concurrency: int,
        hostname: str | None,
    ) -> None:
        name = default_nodename(hostname or "")
        super().__init__(
            app=app,
            hostname=name,
            concurrency=concurrency,
            pool=partial(TaskPool, supervisor=supervisor, broker=broker, freed=server.freed, hostname=name),
            consumer_cls=partial(consumer_class(app), broker=broker),
            timer_cls=partial(_timer, server.scheduler),
            use_eventloop=False,
            statedb=None,
        )

    def _process_task(self, request: Any) -> None:
        self.pool.admit(request, super()._process_task)

    def on_consumer_ready(self, consumer: Any) -> None:
        """Send the app's worker_ready signal."""
        signals.worker_ready.send(sender=consumer)


def _timer(scheduler: Scheduler, *, on_error: Callable[[Exception], object], **_: Any) -> LoopTimer:
    return LoopTimer(scheduler, on_error)


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task that has not begun, as reports show it."""

    headers: Mapping[str, Any]
    attempt: int = 1
    state: str = "waiting"

    @property
    def name(self) -> str:
        """`task[id]`."""
        return f"{self.headers.get('task')}[{self.headers.get('id')}]"

    def describe(self) -> str:
        """`task[id]: task(arguments)`."""
        return f"{self.name}: {described(self.headers)}"


class Worker(GenServer):
    """See the module. `init` is called by its supervisor."""

    __slots__ = ("_home", "_pumping", "app", "broker", "controller", "grace_s", "supervisor")

    def init(
        self,
        app: Any,
        broker: Broker,
        supervisor: Tasks,
        concurrency: int,
        grace_s: float,
        *,
        hostname: str | None = None,
    ) -> None:
        """Start Celery's worker, and take back the messages that an earlier one had not finished."""
        self.app, self.broker, self.supervisor, self.grace_s = app, broker, supervisor, grace_s
        self._pumping = False
        self._home = copy_context()  # not that of whoever sends a task
        broker.restore()
        self.controller = Controller(
            app, self, supervisor=supervisor, broker=broker, concurrency=concurrency, hostname=hostname
        )
        self.controller.blueprint.start(self.controller)
        broker.wake = self.wake
        self.wake()

    def wake(self) -> None:
        """Check the queues in the loop's next turn. Any thread."""
        if self._pumping:
            return
        self._pumping = True
        process = self.__process__  # directly: this is called for each task that is sent
        if process.is_here:
            process.loop.call_soon(self._pump, context=self._home)
        else:
            with suppress(RuntimeError):  # the loop is closed, and nothing runs any more
                process.loop.call_soon_threadsafe(self._pump, context=self._home)

    def freed(self) -> None:
        """Handle a free slot. Loop's thread only."""
        if self.broker.ready():
            self.wake()

    def handle_info(self, message: Any) -> None:
        """Crash with an error of the consumer."""
        if isinstance(message, Exception):
            raise message
        super().handle_info(message)

    def _pump(self) -> None:
        self._pumping = False
        if self.__process__.exit is not None:
            return
        try:
            if self.controller.consumer.pump():
                self.wake()
        except Exception as error:  # noqa: BLE001 - a crash of the server, by the one way that there is
            self.info(error)

    def handle_call(self, request: Callable[[Any], Any], _caller: Any) -> Any:
        """Handle remote control."""
        return request(self.controller)

    def terminate(self, _ended: Exit) -> None:
        """Stop Celery's worker. Running tasks belong to their supervisor."""
        self.broker.wake = bool
        stop_steps(self.controller)
        self.controller.consumer.timer.stop()
        self.controller.blueprint.state = TERMINATE
        signals.worker_shutdown.send(sender=self.controller)
        for envelope in self.broker.taken():
            worker_state.requests.pop(envelope.about.get("id"), None)

    def quiet(self) -> None:
        """Accept tasks from running tasks only; from all where they survive, and give back what waits."""
        if self.broker.survives:
            self.broker.withdraw()
            return
        self.broker.refusal = (
            f"{self.app.main or 'the app'} is draining: it is shutting down and takes no new task"
        )

    def held(self) -> Sequence[Held]:
        """Return what waits: for a slot, for its ETA or for its turn. Nothing of it where it survives."""
        if self.broker.survives:
            return []
        running = {child.job.id for child in self.supervisor.children() if isinstance(child, JobChild)}
        taken = [envelope for envelope in self.broker.taken() if envelope.about.get("id") not in running]
        kept = self.app.amqp.kept_jobs
        headers = [envelope.about for envelope in (*self.broker.waiting(), *taken)]
        return [WaitingTask(found) for found in (*headers, *(kept.waiting() if kept is not None else ()))]

    def _due_before(self, end: float) -> float | None:
        """Return when the next task is due that waits for its time; None if that is not before `end`."""
        kept = self.app.amqp.kept_jobs
        left_s = kept.due_in_s() if kept is not None else None
        of_timer = self.controller.consumer.timer.due_before(end)
        due = [] if of_timer is None else [of_timer]
        if left_s is not None:
            due.append(self.scheduler.monotonic() + left_s)
        return min((at for at in due if at < end), default=None)

    async def idle(self) -> None:
        """Wait until nothing runs and nothing waits, except ETAs that come too late for the grace.

        Where what waits survives the process, wait for what runs.
        """
        if self.broker.survives:
            await self.supervisor.idle()
            return
        end = self.scheduler.monotonic() + self.grace_s
        while True:
            await self.supervisor.idle()
            due = self._due_before(end)
            if due is not None:
                await sleep(self.clock, max(SHORTEST_WAIT_S, due - self.scheduler.monotonic()))
            elif not self.broker.ready() and not self.supervisor.count:
                return
            await asyncio.sleep(0)
