"""One side in fresh processes: its own world, database and broker, the app, a worker and beat.

    async with Stack(side, workspace, options) as stack:
        …                     # stack.client.call(…) answers, a probe job went all the way

A stack holds its processes and a client that calls them; this module starts and stops them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from bench.errors import BenchError
from bench.ledger.job_names import PROBE
from bench.ledger.tail import LedgerTail
from bench.plan.sides import Side
from bench.plan.subject import SideOptions, Workspace
from bench.process.process_table import wait_for_file
from bench.stack import database_cleanup
from bench.stack.client import SideClient
from bench.stack.parts import SERVICES, SideProcesses
from bench.world.broker import URL_VARIABLE, BrokerError
from bench.world.rabbitmq import START_WITHIN_S
from bench.world.remote_world import RemoteLedger
from scenarios import jobs

#: Seconds within which every part of a side must be up and a probe job through.
START_LIMIT_S = 40.0
#: Seconds after a block in which a job of a worker elsewhere may end.
WORKERS_END_S = 2.0
#: Events that end a run of a job.
ENDS = frozenset({"done", "raised", "cancelled"})
#: Seconds between two looks at the ledger.
LOOK_S = 0.05
#: Where Celery keeps results, where it is told to keep any.
RESULTS_VARIABLE = "CELERY_RESULT_BACKEND"


class Stack:
    """A side under test and everything that it needs, for one block."""

    #: Seconds that a strike waits for a running job; after that it strikes all the same.
    running_job_wait_s = 5.0

    def __init__(
        self,
        side: Side,
        workspace: Workspace,
        options: SideOptions,
        *,
        processes: SideProcesses | None = None,
    ) -> None:
        """`processes` stand in place of ours."""
        self.side = side
        self.processes = processes or SideProcesses(side, workspace, options)
        self.client = SideClient(self.processes, self.processes.context["block"])
        self.folder, self.ledger = self.processes.folder, self.processes.ledger
        self._tail = LedgerTail(self.ledger)
        self._deployment = workspace.deployment
        self._beat = options.beat
        self._remote: RemoteLedger | None = None
        self._limit_s = START_LIMIT_S + (START_WITHIN_S if options.rabbitmq else 0.0)
        self._latency = options.world_latency_ms
        self._proxied = options.proxied
        self._results_in_broker = options.results_in_broker
        #: Observations of a fault during its strike, for its checker.
        self.facts: dict[str, Any] = {}
        #: The fault that strikes, and the moment of its kill (monotonic ns) once there is one.
        self.fault = 0
        self.kill_ns: int | None = None

    async def __aenter__(self) -> Self:
        self.ledger.mkdir(parents=True)
        try:
            async with asyncio.timeout(self._limit_s):
                await self._start()
        except TimeoutError:
            tails = "\n".join(f"--- {part.name}\n{part.tail()}" for part in self.processes.parts.values())
            await self.stop()
            hint = (
                ": does its worker, which is elsewhere, still run?"
                if self.processes.workers_elsewhere
                else ""
            )
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
        """Kill every part: the block has drained, and nothing counts from here on."""
        await self.processes.stop()
        if self._remote is not None:
            await self._remote.end()
        await self._clear_database()

    @property
    def queued(self) -> bool:
        """Whether a broker and workers do the work."""
        return self.side.queued

    @property
    def runs_jobs(self) -> str:
        """The part that runs the jobs."""
        return "worker" if self.queued else "app"

    @property
    def own_services(self) -> bool:
        """Whether the block started the services itself."""
        return self._deployment.world is None

    async def stamp_kill(self, at_ns: int | None = None) -> None:
        """Record the moment of the kill, now or `at_ns` (monotonic); the first call counts.

        What the side has used of the processor is read before it: a kill takes that along.
        """
        if self.kill_ns is None:
            self.processes.cpu_s()
            self.kill_ns = time.monotonic_ns() if at_ns is None else at_ns
            await self.mark("fault_on")

    async def mark(self, event: Literal["fault_on", "fault_off"]) -> None:
        """Make services on another host record the moment too: effects carry their clock."""
        if self._remote is not None and self._deployment.services_on_other_host:
            await self._remote.mark(event, self.fault)

    async def until(self, seen: Callable[[list[dict[str, Any]]], bool], *, within_s: float) -> bool:
        """Wait until the ledger's events satisfy `seen`; return whether they did in time."""
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
        processes = self.processes
        if self._deployment.world is None:
            latency = [] if self._latency is None else ["--latency-ms", str(self._latency)]
            processes.spawn(SERVICES, "bench.world.serve", "--folder", str(self.folder), *latency)
        else:
            self._remote = RemoteLedger(self._deployment.world, self.ledger, processes.context)
            await self._remote.begin(self._latency)
        if self.side.queued:
            broker = await processes.start_broker()
            processes.env |= broker.environment
            if self._results_in_broker:
                processes.env[RESULTS_VARIABLE] = broker.url
            if self._proxied:
                name = URL_VARIABLE if self._proxied == "broker" else RESULTS_VARIABLE
                processes.env[name] = await processes.start_proxy(broker)
        self.client.world = await self._services()
        processes.env |= {name.upper(): url for name, url in self.client.world.items()}
        await self._start_side()

    async def _start_side(self) -> None:
        """Start those of worker, app and beat that the side has, and send a probe through."""
        if self.side.queued and not self.processes.workers_elsewhere:
            self.processes.start_worker()
        await self.processes.start_app()
        if self.side.queued and self._beat:
            self.processes.start_beat()
        await self.probe()

    async def probe(self) -> None:
        """Send one of each request through the whole side and wait for their effects."""
        user = f"{self.processes.context['block']}{PROBE}{time.monotonic_ns()}"
        body = {"name": "Probe", "birthday": "1990-05-17", "address": "1 Probe Street"}
        for path, suffix in (("/account-setup", "s"), ("/users", "e")):
            answer = await self.client.call(
                "POST", path, json={**body, "id": f"{user}{suffix}", "email": f"{user}{suffix}@probe.example"}
            )
            answer.raise_for_status()
        wanted = {jobs.crm(f"{user}s"), jobs.fulfillment(f"{user}s"), jobs.email(f"{user}e")}
        # Workers elsewhere must deliver their own events too: failures show in these alone.
        for event in ("effect", *(("done",) if self.processes.workers_elsewhere else ())):
            await self.until(partial(_have, event, wanted), within_s=START_LIMIT_S)

    async def _services(self) -> dict[str, str]:
        """The URLs of the services, once they listen."""
        if self._deployment.world is not None:
            return dict(self._deployment.world.urls)
        urls: dict[str, str] = json.loads(
            await wait_for_file(self.processes.parts[SERVICES], self.folder / "world.json")
        )
        return urls

    async def _fetch_rest(self, remote: RemoteLedger) -> None:
        """Fetch the remaining events of another host; raise BenchError where it is away."""
        await self.until(_all_ended, within_s=WORKERS_END_S)
        await remote.fetch()

    async def _clear_database(self) -> None:
        """Delete the block's rows from a database that outlives it: the next run reuses the names."""
        if url := os.environ.get("DATABASE_URL"):
            await asyncio.to_thread(database_cleanup.clear, url, self.processes.context["block"])


def _have(event: str, wanted: set[str], events: Iterable[dict[str, Any]]) -> bool:
    """Whether each of these jobs has such an event."""
    return wanted <= {e["job"] for e in events if e["event"] == event}


def _all_ended(events: list[dict[str, Any]]) -> bool:
    """Whether each started run of a job has ended; runs of one job are counted, not matched."""
    begun = Counter(e["job"] for e in events if e["event"] == "start")
    return begun <= Counter(e["job"] for e in events if e["event"] in ENDS)
