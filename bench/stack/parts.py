"""The processes of a side in one block: app, worker, beat, broker and fault proxy.

Faults kill, stop and restart each by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from urllib.parse import urlsplit

from bench.errors import BenchError
from bench.measures.latency.cold_start import APP, BROKER
from bench.plan.sides import Side
from bench.plan.subject import SideOptions, Workspace
from bench.process.process_table import PLATFORM_GRACE_S, Process, wait_for_file
from bench.world.broker import URL_VARIABLE, Broker
from bench.world.rabbitmq import Node
from queue_or_task import module_command
from scenarios.ledger import CONTEXT_VARIABLE, LEDGER_VARIABLE

#: Parts that do not belong to the side: the services that it calls, and the fault proxy.
SERVICES, PROXY = "world", "proxy"
#: The factor by which Sidekiq's retry delays are shortened.
RETRY_SCALE_VARIABLE = "SIDEKIQ_RETRY_SCALE"


class SideProcesses:
    """The processes of one side by name, how each is started, and where it listens."""

    #: The module that is the app.
    host = "bench.app"

    def __init__(self, side: Side, workspace: Workspace, options: SideOptions) -> None:
        self.side = side
        self.folder = workspace.folder
        self.ledger = self.folder / "ledger"
        self.parts: dict[str, Process] = {}
        #: Parts that another of the same name has taken the place of.
        self._replaced: list[tuple[str, Process]] = []
        self.broker: Broker | Node | None = None
        self.app_url = ""
        self.proxy_url = ""
        #: When each part was spawned first and, for broker and app, when it answered first (monotonic ns).
        self.began: dict[str, int] = {}
        self.listened: dict[str, int] = {}
        self.context = workspace.context
        #: Whether the workers of this side run elsewhere, started by someone else.
        self.workers_elsewhere = workspace.deployment.workers_of(side)
        self._table = workspace.table
        self._celery_app = options.celery_app
        self._rabbitmq = options.rabbitmq
        self._broker_variables = options.broker_env
        self._deployment = workspace.deployment
        self._worker_options = ("--include", "bench.app.fault_jobs.tasks") if options.fault_jobs else ()
        #: The variables of every process that is started from now on.
        self.env = self._environment(options)

    @property
    def whole(self) -> bool:
        """Whether the run started every process of the side: only then its use of the machine is known."""
        return not self.workers_elsewhere and (self.broker is None or self.broker.ours)

    def pids(self) -> list[int]:
        """Process ids of the side itself: everything but the services and the fault proxy."""
        pids = [
            part.pid
            for name, part in self.parts.items()
            if name not in {SERVICES, PROXY} and part.exit_code() is None
        ]
        if self.broker is not None and self.broker.ours:
            pids.append(self.broker.pid)
        return pids

    def cpu_s(self) -> float:
        """Seconds of processor time of the same processes so far, and of those that have ended.

        What the children of a part had used is known after a kill of the part only if it was read before.
        """
        parts = [*self._replaced, *self.parts.items()]
        broker_s = self.broker.cpu_s() if self.broker is not None and self.broker.ours else 0.0
        return broker_s + sum(part.cpu_s() for name, part in parts if name not in {SERVICES, PROXY})

    async def start_app(self, *, port: int = 0) -> None:
        """Start the app and wait until it listens."""
        ready = self.folder / "app.json"
        ready.unlink(missing_ok=True)
        self.spawn("app", self.host, "--port", str(port), "--folder", str(self.folder))
        self.app_url = json.loads(await wait_for_file(self.parts["app"], ready))["url"]
        self.listened.setdefault(APP, time.monotonic_ns())

    async def restart_app(self) -> None:
        """Start the app again on the port that it had."""
        port = int(self.app_url.rsplit(":", 1)[1])
        await self.start_app(port=port)

    async def restart_broker(self) -> None:
        """Start the broker that was killed again, on its port and folder."""
        if self.broker is None:
            return
        await asyncio.to_thread(self.broker.restart)
        self._guard_broker(self.broker)

    def start_worker(self, name: str = "worker", *, app: str = "") -> None:
        """Start a Celery worker with Celery's command; the probe shows when it works.

        Raise BenchError where the workers run elsewhere.
        """
        if self.workers_elsewhere:
            raise BenchError("the workers are elsewhere and not ours to start: leave out --external-workers")
        options = ["--loglevel", "WARNING", "-n", f"{name}@%h", *self._worker_options]
        self.spawn(name, "celery", "-A", app or self._celery_app, "worker", *options)

    def start_beat(self, name: str = "beat") -> None:
        """Start Celery beat."""
        schedule = str(self.folder / f"{name}-schedule")
        self.spawn(name, "celery", "-A", self._celery_app, "beat", "--loglevel", "WARNING", "-s", schedule)

    async def deploy(self, part: str, *, whole_group: bool = False, celery_app: str = "") -> bool:
        """End app, worker or beat as a platform does, and start the next; return whether it ended in time."""
        in_time = await self.parts[part].stop(grace_s=PLATFORM_GRACE_S, whole_group=whole_group)
        if part == "worker":
            self.start_worker(app=celery_app)
        elif part == "beat":
            self.start_beat()
        else:
            await self.restart_app()
        return in_time

    async def start_replica(self) -> str:
        """Start the app once more, on a port of its own, with the same database; return its URL."""
        folder = self.folder / "replica"
        folder.mkdir()
        self.spawn("replica", self.host, "--port", "0", "--folder", str(folder))
        return str(json.loads(await wait_for_file(self.parts["replica"], folder / "app.json"))["url"])

    async def start_broker(self) -> Broker | Node:
        """Start the broker, or connect to the named one, and wait until it answers."""
        self.began[BROKER] = time.monotonic_ns()
        self.broker = await asyncio.to_thread(self._make_broker)
        self.listened[BROKER] = time.monotonic_ns()
        self._guard_broker(self.broker)
        return self.broker

    async def start_proxy(self, broker: Broker | Node) -> str:
        """Start a fault proxy before the broker and return its URL."""
        address = urlsplit(broker.url)
        ready = self.folder / "proxy.json"
        upstream = f"{address.hostname}:{address.port}"
        self.spawn(
            PROXY, "bench.world.proxy", "--with-parent", "--upstream", upstream, "--ready-file", str(ready)
        )
        addresses = json.loads(await wait_for_file(self.parts[PROXY], ready))
        self.proxy_url = addresses["control"]
        return f"redis://{addresses['listen']}/0"

    def _make_broker(self) -> Broker | Node:
        """Blocks until it answers."""
        folder = self.folder / "broker"
        if not self._rabbitmq:
            return Broker.start(
                folder,
                persistence=self.side.persistent_broker,
                env={
                    **os.environ,
                    URL_VARIABLE: self._deployment.broker_url or os.environ.get(URL_VARIABLE, ""),
                },
                key_prefix=self._deployment.key_prefix(self.side),
                variables=self._broker_variables,
            )
        node = Node(folder, self._table)
        node.launch()
        return node

    def _guard_broker(self, broker: Broker | Node) -> None:
        if broker.ours:
            self._table.adopt(broker.pid)

    def spawn(self, name: str, module: str, *options: str) -> None:
        """Start `python -m module` as the part of this name; kill the present one first."""
        if name in self.parts:
            self.parts[name].cpu_s()
            self._table.kill(self.parts[name])
            self._replaced.append((name, self.parts[name]))
        self.began.setdefault(name, time.monotonic_ns())
        self.parts[name] = self._start(name, self.command(module, *options))

    async def stop(self) -> None:
        """End every process of the block at once, those that measure too, then the broker."""
        for process in self._table.started_in(self.folder):
            self._table.kill(process)
        self.parts.clear()
        if self.broker is not None:
            await asyncio.to_thread(self.broker.stop)

    def command(self, module: str, *options: str) -> list[str]:
        """The command that runs a module as the part of this side."""
        return module_command(module, *options)

    def _start(self, name: str, command: list[str]) -> Process:
        return self._table.start(name, command, env=self.env, folder=self.folder)

    def _environment(self, options: SideOptions) -> dict[str, str]:
        scale = options.retry_scale
        database = os.environ.get("DATABASE_URL") or f"sqlite:///{self.folder / 'scenarios.db'}"
        return {
            **os.environ,
            "DATABASE_URL": database,
            "QUEUE_OR_TASK_SIDE": self.side.name,
            LEDGER_VARIABLE: str(self.ledger),
            CONTEXT_VARIABLE: json.dumps(self.context),
            **self.side.env,
            **({} if scale is None else {RETRY_SCALE_VARIABLE: str(scale)}),
            **options.env,
        }
