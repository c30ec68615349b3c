"""One side of the user's app, in fresh processes, for one block.

It starts the broker, worker and beat, and the host, then calls each task once as a probe. The host is
`children.host`; worker and beat are Celery's own (`children.worker`). They run in the project's folder.
Services that tasks call are the user's.
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
from bench.own_app.children.app_description import AppDescription
from bench.own_app.children.rebound_app import NOWHERE, RESULTS_NOWHERE, AppSpec
from bench.own_app.interpreter import Interpreter
from bench.own_app.workload.workload import Workload
from bench.plan.sides import Side
from bench.plan.subject import SideOptions, Workspace
from bench.process.process_table import STOP_GRACE_S, Process
from bench.stack.parts import SideProcesses
from bench.stack.stack import START_LIMIT_S, Stack
from bench.world.broker import URL_VARIABLE, Broker
from scenarios.ledger import CONTEXT_VARIABLE, LEDGER_VARIABLE

#: Events that end a call, well or badly.
ENDING_EVENTS = frozenset({"effect", "done", "raised", "failed", "cancelled"})
#: Seconds that the first calls may take to end once each has begun; after that the block starts all the same.
FIRST_END_S = 5.0
#: How a broker URL of `Sidekiq(app)` begins whose workers hold their jobs under a lease.
LEASE = "lease+"
#: Prefix of the run's queue on the app's own broker.
QUEUE_PREFIX = "queue-or-task-"
#: Programs of `children` that run in the app's interpreter.
HOST, WORKER, QUEUE_CLEANUP = PROGRAMS = ("host", "worker", "queue_cleanup")


class App(Protocol):
    """The attributes of `bench.own_app.own_app.OwnApp` that a side uses."""

    @property
    def workload(self) -> Workload:
        """Which of its tasks are called."""

    @property
    def folder(self) -> Path:
        """The project's folder, from which its modules are imported."""

    @property
    def description(self) -> AppDescription:
        """The app's tasks, queues, schedule and settings."""

    @property
    def use_app_broker(self) -> bool:
        """Whether calls go through the app's own broker, in a queue that only the run uses."""

    @property
    def interpreter(self) -> Interpreter:
        """What runs its processes."""

    @property
    def entries(self) -> Mapping[str, float | None]:
        """Schedule entries that are measured, each with its forced period in seconds, or None for its own."""

    @property
    def worker_options(self) -> Sequence[str]:
        """Options of `celery worker`."""

    def first_calls(self) -> dict[str, list[Any]]:
        """[args, kwargs] of one call of each task."""


class OwnProcesses(SideProcesses):
    """The processes of a side of the app: they run in the project's folder, with the user's environment."""

    host = HOST

    def __init__(
        self, own: App, side: Side, workspace: Workspace, options: SideOptions, *, queue: str
    ) -> None:
        """`queue` is the only queue, on the app's own broker; empty for the app's routes."""
        self._own = own
        self._queue = queue
        super().__init__(side, workspace, options)

    @property
    def whole(self) -> bool:
        """Whether every process of the side belongs to the run; the app's own broker does not."""
        return not self._queue

    def start_worker(self, name: str = "worker", *, app: str = "") -> None:  # noqa: ARG002 - the app is the user's
        """Start a Celery worker on every queue that the app's routes lead to."""
        queues = [self._queue] if self._queue else self._own.description.queues
        options = ["--loglevel", "WARNING", "-n", f"{name}@%h", "-Q", ",".join(queues)]
        self.spawn(name, WORKER, "worker", *options, *self._own.worker_options)

    def start_beat(self, name: str = "beat") -> None:
        """Start Celery beat on the entries that are measured."""
        schedule = str(self.folder / f"{name}-schedule")
        self.spawn(name, WORKER, "beat", "--loglevel", "WARNING", "-s", schedule)

    async def delete_queue(self) -> None:
        """Let the worker end its calls on the app's own broker, then delete the run's queue."""
        if self._queue and "worker" in self.parts:
            await self.parts["worker"].stop(grace_s=STOP_GRACE_S)
            self.spawn(QUEUE_CLEANUP, QUEUE_CLEANUP)
            await self.parts[QUEUE_CLEANUP].ended(within_s=STOP_GRACE_S)

    def _make_broker(self) -> Broker:
        """Start a server of the run; ignore REDIS_URL, which may name the app's."""
        env = {name: value for name, value in os.environ.items() if name != URL_VARIABLE}
        return Broker.start(self.folder / "broker", persistence=self.side.persistent_broker, env=env)

    def command(self, module: str, *options: str) -> list[str]:
        """The command of a program of `children` in the app's interpreter; of another module in ours."""
        if module in PROGRAMS:
            return self._own.interpreter.command(module, *options)
        return super().command(module, *options)

    def _start(self, name: str, command: list[str]) -> Process:
        return self._table.start(name, command, env=self.env, folder=self.folder, cwd=self._own.folder)

    def _environment(self, options: SideOptions) -> dict[str, str]:
        """The user's environment, with the run's variables."""
        added = {LEDGER_VARIABLE: str(self.ledger), CONTEXT_VARIABLE: json.dumps(self.context)}
        return {**os.environ, **added, **options.env}


class OwnStack(Stack):
    """The user's app under test, with every process that it needs, for one block."""

    #: Seconds that a strike waits for a running job: short tasks are seldom seen running.
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
        self._limit_s += START_LIMIT_S  # each of three processes imports the app

    async def stop(self) -> None:
        """End every part and delete the run's queue."""
        await self._own_processes.delete_queue()
        await super().stop()

    async def probe(self) -> None:
        """Call each task once through the whole side and wait until every call has ended, well or badly.

        A long call need only begin. Raise BenchError where one does not begin.
        """
        stamp, block = time.monotonic_ns(), self.processes.context["block"]
        calls = self._own.first_calls()
        names = {task: f"{block}{PROBE}{stamp}-{place}" for place, task in enumerate(calls)}
        for task, name in names.items():
            args, kwargs = calls[task]
            body = {"id": name, "task": task, "args": args, "kwargs": kwargs}
            answer = await self.client.call("POST", "/tasks", json=body, timeout=START_LIMIT_S)
            answer.raise_for_status()
        begun = ENDING_EVENTS | {"start"}
        if not await self.until(lambda events: not _without(events, names, begun), within_s=START_LIMIT_S):
            left = ", ".join(_without(self.events(), names, begun))
            problem = f"a first call of {left} did not begin within {START_LIMIT_S:g} s"
            raise BenchError(f"{self.side.name}: {problem}; its worker: {self._last_log_line()}")
        await self.until(lambda events: not _without(events, names, ENDING_EVENTS), within_s=FIRST_END_S)

    def _last_log_line(self) -> str:
        parts = self.processes.parts
        return parts["worker"].tail(1) if "worker" in parts else "the host"

    async def _clear_database(self) -> None:
        """Leave it alone: the database is the app's own."""

    async def _start(self) -> None:
        self.processes.env |= (await self._app_spec()).environment
        await self._start_side()

    async def _app_spec(self) -> AppSpec:
        """The spec of the side's processes; starts the run's broker where the side uses it."""
        spec = AppSpec(
            app=self._own.workload.app,
            folder=str(self._own.folder),
            broker=NOWHERE,
            results=RESULTS_NOWHERE,
            queue=self._queue,
            entries=self._own.entries if self._periodic else {},
        )
        if self._on_app_broker:
            return replace(spec, broker="", results="")
        if not self.side.queued:
            return spec
        broker = await self.processes.start_broker()
        url = await self.processes.start_proxy(broker) if self._proxied == "broker" else broker.url
        lease = LEASE if self._own.description.broker.startswith(LEASE) else ""
        return replace(spec, broker=f"{lease}{url}", results=broker.url)


def _without(
    events: Sequence[Mapping[str, Any]], names: Mapping[str, str], kinds: AbstractSet[str]
) -> list[str]:
    """The tasks whose call, by its job name, has had none of these events."""
    seen = {event.get("job") for event in events if event["event"] in kinds}
    return [task for task, name in names.items() if name not in seen]
