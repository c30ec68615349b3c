"""One side of an app of your own, in fresh processes, for one block.

    broker | worker, beat | host | one call of each task: the probe

The host is `children.host`, worker and beat are Celery's own (`children.worker`); they run in the
project's folder. There are no services of ours: whom a task calls is the task's own business.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from bench.errors import BenchError
from bench.ledger.job_names import PROBE
from bench.own_app.children.app_description import Answer
from bench.own_app.children.rebound_app import NOWHERE, RESULTS_NOWHERE, Adoption
from bench.own_app.inspect_app import PACKAGES
from bench.own_app.workload.workload import Workload
from bench.plan.sides import Side
from bench.plan.subject import SideOptions, Workspace
from bench.process.process_table import STOP_GRACE_S, Process
from bench.stack.parts import SideProcesses
from bench.stack.stack import START_LIMIT_S, Stack
from bench.world.broker import URL_VARIABLE, Broker
from scenarios.ledger import CONTEXT_VARIABLE, LEDGER_VARIABLE

#: Events that show that a call has come through: how it ended does not matter.
CAME_THROUGH = frozenset({"effect", "done", "raised", "failed", "cancelled"})
#: Seconds that the first calls have to end once each has begun; a longer one is waited for no more.
FIRST_END_S = 5.0
#: What the queue is called that the run has to itself on the app's own broker.
QUEUE_PREFIX = "queue-or-task-"
#: What takes that queue away again.
CLEANER = "cleaner"
#: Celery's own command on the app, its calls recorded.
WORKER = "bench.own_app.children.worker"


class App(Protocol):
    """What a side needs to know of the app (`bench.own_app.own_app.OwnApp`)."""

    @property
    def workload(self) -> Workload:
        """Which of its tasks are called."""

    @property
    def folder(self) -> Path:
        """The project's folder, from which its modules are imported."""

    @property
    def answer(self) -> Answer:
        """What the app has."""

    @property
    def use_app_broker(self) -> bool:
        """Whether its calls go through its own broker, in a queue of the run's own."""

    @property
    def entries(self) -> Mapping[str, float | None]:
        """Entries of its schedule that are measured, with their period where it is not their own."""

    @property
    def worker_options(self) -> Sequence[str]:
        """Options of `celery worker`."""

    def first_calls(self) -> dict[str, list[Any]]:
        """[args, kwargs] of one call of each task."""


class OwnProcesses(SideProcesses):
    """The processes of a side of the app: they run in the project's folder, with the user's environment."""

    host = "bench.own_app.children.host"
    packages = PACKAGES

    def __init__(
        self, own: App, side: Side, workspace: Workspace, options: SideOptions, *, queue: str
    ) -> None:
        """`queue` is the one for everything on the app's own broker; empty: those of the app's routes."""
        self._own = own
        self._queue = queue
        super().__init__(side, workspace, options)

    @property
    def whole(self) -> bool:
        """As of ours: the app's own broker is nobody's to measure."""
        return not self._queue

    def start_worker(self, name: str = "worker", *, app: str = "") -> None:
        """Start a Celery worker on every queue that the app's routes lead to."""
        queues = [self._queue] if self._queue else self._own.answer.queues
        options = ["--loglevel", "WARNING", "-n", f"{name}@%h", "-Q", ",".join(queues)]
        self.spawn(name, app or WORKER, "worker", *options, *self._own.worker_options)

    def start_beat(self, name: str = "beat") -> None:
        """Start Celery beat on the entries that are measured."""
        schedule = str(self.folder / f"{name}-schedule")
        self.spawn(name, WORKER, "beat", "--loglevel", "WARNING", "-s", schedule)

    async def delete_queue(self) -> None:
        """On the app's own broker let the worker end its calls, and leave no queue behind."""
        if self._queue and "worker" in self.parts:
            await self.parts["worker"].stop(grace_s=STOP_GRACE_S)
            self.spawn(CLEANER, "bench.own_app.children.queue_cleanup")
            await self.parts[CLEANER].ended(within_s=STOP_GRACE_S)

    def _make_broker(self) -> Broker:
        """A server of our own, whatever REDIS_URL says: that one may be the app's."""
        env = {name: value for name, value in os.environ.items() if name != URL_VARIABLE}
        return Broker.start(self.folder / "broker", persistence=self.side.persistent_broker, env=env)

    def _start(self, name: str, command: list[str]) -> Process:
        return self._table.start(name, command, env=self.env, folder=self.folder, cwd=self._own.folder)

    def _environment(self, options: SideOptions) -> dict[str, str]:
        """The user's own environment, untouched but for what a run needs to know."""
        told = {LEDGER_VARIABLE: str(self.ledger), CONTEXT_VARIABLE: json.dumps(self.context)}
        return {**os.environ, **told, **options.env}


class OwnStack(Stack):
    """An app of your own under test, and everything that it needs, for one block."""

    #: A short task is seldom seen under way; at the rates of a load one mostly is.
    running_job_wait_s = 1.0

    def __init__(self, own: App, side: Side, workspace: Workspace, options: SideOptions) -> None:
        """Beat runs where the options say `periodic`: its entries are the periodic work."""
        self._own = own
        self._periodic = options.periodic
        self._on_app_broker = own.use_app_broker and side.queued
        self._queue = f"{QUEUE_PREFIX}{uuid.uuid4().hex[:12]}" if self._on_app_broker else ""
        ours = replace(options, beat=options.periodic, rabbitmq=False)
        self._own_processes = OwnProcesses(own, side, workspace, ours, queue=self._queue)
        super().__init__(side, workspace, ours, processes=self._own_processes)
        self._limit_s += START_LIMIT_S  # an app takes its time to be imported, three times over

    async def stop(self) -> None:
        """End every part, and leave no queue on the app's own broker."""
        await self._own_processes.delete_queue()
        await super().stop()

    async def probe(self) -> None:
        """Call each task once through the whole side, and wait until every call has ended somehow.

        A long one need only have begun. Raise BenchError where one has not.
        """
        stamp, block = time.monotonic_ns(), self.processes.context["block"]
        calls = self._own.first_calls()
        names = {task: f"{block}{PROBE}{stamp}-{place}" for place, task in enumerate(calls)}
        for task, name in names.items():
            args, kwargs = calls[task]
            body = {"id": name, "task": task, "args": args, "kwargs": kwargs}
            answer = await self.client.call("POST", "/tasks", json=body, timeout=START_LIMIT_S)
            answer.raise_for_status()
        begun = CAME_THROUGH | {"start"}
        if not await self.until(lambda events: not _left(events, names, begun), within_s=START_LIMIT_S):
            left = ", ".join(_left(self.events(), names, begun))
            told = f"a first call of {left} did not begin within {START_LIMIT_S:g} s"
            raise BenchError(f"{self.side.name}: {told}; its worker: {self._last_words()}")
        await self.until(lambda events: not _left(events, names, CAME_THROUGH), within_s=FIRST_END_S)

    def _last_words(self) -> str:
        parts = self.processes.parts
        return parts["worker"].tail(1) if "worker" in parts else "the host"

    async def _clear_database(self) -> None:
        """Leave it alone: the database is the app's own."""

    async def _start(self) -> None:
        self.processes.env |= (await self._adoption()).environment
        await self._start_side()

    async def _adoption(self) -> Adoption:
        """What the side's processes are told; starts the broker where it is ours."""
        told = Adoption(
            app=self._own.workload.app,
            folder=str(self._own.folder),
            broker=NOWHERE,
            results=RESULTS_NOWHERE,
            queue=self._queue,
            entries=self._own.entries if self._periodic else {},
        )
        if self._on_app_broker:
            return replace(told, broker="", results="")
        if not self.side.queued:
            return told
        broker = await self.processes.start_broker()
        url = await self.processes.start_proxy(broker) if self._proxied == "broker" else broker.url
        return replace(told, broker=url, results=broker.url)


def _left(
    events: Sequence[Mapping[str, Any]], names: Mapping[str, str], through: AbstractSet[str]
) -> list[str]:
    """The tasks whose call, by its name, has had none of these events."""
    seen = {event.get("job") for event in events if event["event"] in through}
    return [task for task, name in names.items() if name not in seen]
