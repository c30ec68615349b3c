"""One side in fresh processes: its own world, database and broker, the app, a worker and beat.

    async with Stack(side, folder=…, table=…, context=…) as stack:
        …                     # stack.app_url answers, a probe job went all the way

Each part can be killed, stopped and started again by itself, which is what the faults do.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx

from bench import leftovers
from bench.elsewhere import ALL_HERE, Found
from bench.errors import BenchError
from bench.measures.cold import APP, BROKER
from bench.processes import Process, ProcessTable, file_of
from bench.remote import RemoteLedger
from bench.sides import Side
from bench.tail import LedgerTail
from bench.world.broker import URL_VARIABLE, Broker, BrokerError
from bench.world.rabbitmq import START_WITHIN_S, Node
from scenarios import jobs
from scenarios.ledger import CONTEXT_VARIABLE, LEDGER_VARIABLE

#: What stands in the id of every user that only shows that a side is up.
PROBE = "-probe-"
#: Seconds within which every part of a side must be up and a probe job through.
START_LIMIT_S = 40.0
#: Seconds after a block within which a run that a worker elsewhere has begun may end.
WORKERS_END_S = 2.0
#: What a run of a job ends with.
ENDS = frozenset({"done", "raised", "cancelled"})
#: Seconds between two looks at the ledger.
LOOK_S = 0.05
#: Seconds that one call to the app's own endpoints may take.
APP_TIMEOUT_S = 5.0
#: Seconds that handing an odd job over may take: 50 MB through a broker are slow.
ODD_TIMEOUT_S = 30.0
#: Parts that are no part of the side: the services that it calls, and what the harness puts between.
SERVICES, PROXY = "world", "proxy"
#: Where Celery keeps results, where it is told to keep any.
RESULTS_VARIABLE = "CELERY_RESULT_BACKEND"


class Stack:
    """A side under test and everything that it needs, for one block."""

    #: The module that is the app.
    host = "bench.app"
    #: Seconds that a strike waits for a job to be under way before it strikes all the same.
    amid_s = 5.0

    def __init__(
        self,
        side: Side,
        *,
        folder: Path,
        table: ProcessTable,
        context: dict[str, str],
        env: dict[str, str] | None = None,
        beat: bool = True,
        world_latency_ms: float | None = None,
        proxied: Literal["", "broker", "results"] = "",
        odd_jobs: bool = False,
        celery_app: str = "celery_impl.app",
        rabbitmq: bool = False,
        elsewhere: Found = ALL_HERE,
    ) -> None:
        self.side = side
        self.folder = folder
        self.ledger = folder / "ledger"
        self._tail = LedgerTail(self.ledger)
        self.parts: dict[str, Process] = {}
        self.broker: Broker | Node | None = None
        self.world: dict[str, str] = {}
        self.app_url = ""
        #: When each part was spawned first and, for broker and app, when it answered first (monotonic ns).
        self.began: dict[str, int] = {}
        self.listened: dict[str, int] = {}
        self.context = context
        self._table = table
        self._beat = beat
        self._celery_app = celery_app
        self._rabbitmq = rabbitmq
        self._elsewhere = elsewhere
        self._workers_elsewhere = elsewhere.workers_of(side)
        self._remote: RemoteLedger | None = None
        self._limit_s = START_LIMIT_S + (START_WITHIN_S if rabbitmq else 0.0)
        self._latency = world_latency_ms
        self._proxied = proxied
        self._worker_options = ("--include", "bench.odd.tasks") if odd_jobs else ()
        self.proxy_url = ""
        self.owners: list[str] = []
        #: What a fault saw while it struck, for its own checker.
        self.facts: dict[str, Any] = {}
        self.env = self._environment(context, env or {})

    async def __aenter__(self) -> Self:
        self.ledger.mkdir(parents=True)
        try:
            async with asyncio.timeout(self._limit_s):
                await self._start()
        except TimeoutError:
            tails = "\n".join(f"--- {part.name}\n{part.tail()}" for part in self.parts.values())
            await self.stop()
            hint = ": does its worker, which is elsewhere, still run?" if self._workers_elsewhere else ""
            raise BenchError(
                f"{self.side.name} was not up within {self._limit_s:.0f} s{hint}\n{tails}"
            ) from None
        except BrokerError as error:
            await self.stop()
            raise BenchError(str(error)) from error
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._remote is not None:
                await self._fetch_rest(self._remote)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End every part at once: the block has drained, what happens from here on counts no more."""
        for name in list(self.parts):
            self._table.kill(self.parts.pop(name))
        if self._remote is not None:
            await self._remote.end()
        if self.broker is not None:
            await asyncio.to_thread(self.broker.stop)
        await self._clear_database()

    @property
    def own_services(self) -> bool:
        """Whether the services are a process of the block's own."""
        return self._elsewhere.world is None

    @property
    def whole(self) -> bool:
        """Whether every process of the side is the run's own, so that what the side uses can be told."""
        return not self._workers_elsewhere and (self.broker is None or self.broker.ours)

    async def mark(self, event: Literal["fault_on", "fault_off"], fault: int) -> None:
        """Have a world on another host stamp the moment too: the effects are on its clock."""
        if self._remote is not None and self._elsewhere.world_apart:
            await self._remote.mark(event, fault)

    def side_parts(self) -> list[int]:
        """Process ids of the side itself: everything but the services and the fault proxy."""
        pids = [
            part.pid
            for name, part in self.parts.items()
            if name not in {SERVICES, PROXY} and part.exit_code() is None
        ]
        if self.broker is not None and self.broker.ours:
            pids.append(self.broker.pid)
        return pids

    async def start_app(self, *, port: int = 0) -> None:
        """Start the app and wait until it listens."""
        ready = self.folder / "app.json"
        ready.unlink(missing_ok=True)
        self._spawn("app", self.host, "--port", str(port), "--folder", str(self.folder))
        self.app_url = json.loads(await file_of(self.parts["app"], ready))["url"]
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
        """Start a Celery worker as its users do; the probe shows when it works.

        Raise BenchError where the run's workers are somebody else's.
        """
        if self._workers_elsewhere:
            raise BenchError("the workers are elsewhere and not ours to start: leave out --external-workers")
        options = ["--loglevel", "WARNING", "-n", f"{name}@%h", *self._worker_options]
        self._spawn(name, "celery", "-A", app or self._celery_app, "worker", *options)

    def start_beat(self, name: str = "beat") -> None:
        """Start Celery beat."""
        schedule = str(self.folder / f"{name}-schedule")
        self._spawn(name, "celery", "-A", self._celery_app, "beat", "--loglevel", "WARNING", "-s", schedule)

    async def start_replica(self) -> str:
        """Start the app once more, on a port of its own, with the same database; return its URL."""
        folder = self.folder / "replica"
        folder.mkdir()
        self._spawn("replica", "bench.app", "--port", "0", "--folder", str(folder))
        return str(json.loads(await file_of(self.parts["replica"], folder / "app.json"))["url"])

    async def odd(self, kind: str, name: str, **options: Any) -> int:
        """Hand an odd job over (`bench.odd.endpoint`); return the HTTP status, 0 where none came."""
        from bench.odd import MARK  # late: most stacks have none

        key = f"{self.context['block']}{MARK}{name}"
        try:
            answer = await self.call(
                "POST", "/odd", json={"kind": kind, "key": key, "options": options}, timeout=ODD_TIMEOUT_S
            )
        except httpx.HTTPError:
            return 0
        return answer.status_code

    async def sync(self, owners: Iterable[str]) -> None:
        """Have the app sync these owners from now on."""
        for owner in owners:
            (await self.call("PUT", f"/sync/{owner}")).raise_for_status()
            self.owners.append(owner)

    async def proxy(self, method: str, path: str, **toxic: Any) -> dict[str, Any]:
        """Tell the proxy in front of the broker (`bench.world.proxy.control`); return its state."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            answer = await client.request(method, f"{self.proxy_url}{path}", json=toxic)
            answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    async def set_service(self, service: str, **mode: Any) -> None:
        """Tell a service how to behave from now on (see `bench.world`)."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            answer = await client.post(
                f"{self.world['control_url']}/faults", json={"service": service, **mode}
            )
            answer.raise_for_status()

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call an endpoint of the app."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            return await client.request(method, f"{self.app_url}{path}", **options)

    async def until(self, seen: Callable[[list[dict[str, Any]]], bool], *, within_s: float) -> bool:
        """Wait until the ledger's events satisfy `seen`; tell whether they did in time."""
        deadline = time.monotonic() + within_s
        while not seen(self.events()):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def events(self) -> list[dict[str, Any]]:
        """Every event of the block so far."""
        return self._tail.events()

    async def _start(self) -> None:
        await self._clear_database()
        if self._elsewhere.world is None:
            latency = [] if self._latency is None else ["--latency-ms", str(self._latency)]
            self._spawn(SERVICES, "bench.world.serve", "--folder", str(self.folder), *latency)
        else:
            self._remote = RemoteLedger(self._elsewhere.world, self.ledger, self.context)
            await self._remote.begin(self._latency)
        if self.side.queued:
            broker = await self._start_broker()
            self.env |= broker.environment
            if self._proxied:
                name = URL_VARIABLE if self._proxied == "broker" else RESULTS_VARIABLE
                self.env[name] = await self._start_proxy(broker)
        self.world = await self._services()
        self.env |= {name.upper(): url for name, url in self.world.items()}
        if self.side.queued and not self._workers_elsewhere:
            self.start_worker()
        await self.start_app()
        if self.side.queued and self._beat:
            self.start_beat()
        await self.probe()

    async def probe(self) -> None:
        """Send one of each request through the whole side and wait for their effects."""
        user = f"{self.context['block']}{PROBE}{time.monotonic_ns()}"
        body = {"name": "Probe", "birthday": "1990-05-17", "address": "1 Probe Street"}
        for path, suffix in (("/account-setup", "s"), ("/users", "e")):
            answer = await self.call(
                "POST", path, json={**body, "id": f"{user}{suffix}", "email": f"{user}{suffix}@probe.example"}
            )
            answer.raise_for_status()
        wanted = {jobs.crm(f"{user}s"), jobs.fulfillment(f"{user}s"), jobs.email(f"{user}e")}
        # Of workers elsewhere the own events must come through as well: without them nobody sees a failure.
        for event in ("effect", *(("done",) if self._workers_elsewhere else ())):
            await self.until(partial(_have, event, wanted), within_s=START_LIMIT_S)

    async def _services(self) -> dict[str, str]:
        """Where the services are, once they listen."""
        if self._elsewhere.world is not None:
            return dict(self._elsewhere.world.urls)
        told: dict[str, str] = json.loads(await file_of(self.parts[SERVICES], self.folder / "world.json"))
        return told

    async def _fetch_rest(self, remote: RemoteLedger) -> None:
        """Fetch what another host has still to tell; raise BenchError where it is away."""
        await self.until(_all_ended, within_s=WORKERS_END_S)
        await remote.fetch()

    async def _clear_database(self) -> None:
        """Of a database that outlives the block take the block's own rows: its names come again."""
        if url := os.environ.get("DATABASE_URL"):
            await asyncio.to_thread(leftovers.clear, url, self.context["block"])

    async def _start_broker(self) -> Broker | Node:
        self.began[BROKER] = time.monotonic_ns()
        self.broker = await asyncio.to_thread(self._make_broker)
        self.listened[BROKER] = time.monotonic_ns()
        self._guard_broker(self.broker)
        return self.broker

    async def _start_proxy(self, broker: Broker | Node) -> str:
        """Put a fault proxy before the broker, or before the same server as the result store; its URL."""
        address = urlsplit(broker.url)
        ready = self.folder / "proxy.json"
        upstream = f"{address.hostname}:{address.port}"
        self._spawn(
            PROXY, "bench.world.proxy", "--with-parent", "--upstream", upstream, "--ready-file", str(ready)
        )
        told = json.loads(await file_of(self.parts[PROXY], ready))
        self.proxy_url = told["control"]
        return f"redis://{told['listen']}/0"

    def _make_broker(self) -> Broker | Node:
        """Blocks until it answers."""
        folder = self.folder / "broker"
        if not self._rabbitmq:
            return Broker.start(
                folder,
                persistence=self.side.persistent_broker,
                env={
                    **os.environ,
                    URL_VARIABLE: self._elsewhere.broker_url or os.environ.get(URL_VARIABLE, ""),
                },
                key_prefix=self._elsewhere.key_prefix(self.side),
            )
        node = Node(folder, self._table)
        node.launch()
        return node

    def _guard_broker(self, broker: Broker | Node) -> None:
        if broker.ours:
            self._table.adopt(broker.pid)

    def _spawn(self, name: str, module: str, *options: str) -> None:
        if name in self.parts:
            self._table.kill(self.parts[name])
        self.began.setdefault(name, time.monotonic_ns())
        self.parts[name] = self._table.start(
            name, [sys.executable, "-m", module, *options], env=self.env, folder=self.folder
        )

    def _environment(self, context: dict[str, str], extra: dict[str, str]) -> dict[str, str]:
        database = os.environ.get("DATABASE_URL") or f"sqlite:///{self.folder / 'scenarios.db'}"
        return {
            **os.environ,
            "DATABASE_URL": database,
            "QUEUE_OR_TASK_SIDE": self.side.name,
            LEDGER_VARIABLE: str(self.ledger),
            CONTEXT_VARIABLE: json.dumps(context),
            **self.side.env,
            **extra,
        }


def _have(event: str, wanted: set[str], events: Iterable[dict[str, Any]]) -> bool:
    """Whether each of these jobs has such an event."""
    return wanted <= {e["job"] for e in events if e["event"] == event}


def _all_ended(events: list[dict[str, Any]]) -> bool:
    """Whether every run of a job that began has ended; runs of one job are not told apart."""
    begun = Counter(e["job"] for e in events if e["event"] == "start")
    return begun <= Counter(e["job"] for e in events if e["event"] in ENDS)
