"""What a strike may do to the side that it strikes.

A fault knows the running side by this Protocol alone, so that the list of faults, and with it the plan of a
run, is made without starting or importing one. `bench.stack.stack.Stack` is what a run passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx

from bench.process.process_table import Process


class TargetBroker(Protocol):
    """The broker of a queue."""

    @property
    def url(self) -> str:
        """Where it listens."""

    def kill(self) -> None:
        """Send SIGKILL; return when it has ended."""

    def pause(self) -> None:
        """Stop it where it stands: connections stay open and nothing answers."""

    def resume(self) -> None:
        """Let it go on after `pause`."""


class TargetProcesses(Protocol):
    """The processes of the side: what may be killed, paused and started again."""

    @property
    def parts(self) -> Mapping[str, Process]:
        """The processes by name: app, worker, beat."""

    @property
    def broker(self) -> TargetBroker | None:
        """The broker; None without a queue."""

    @property
    def env(self) -> Mapping[str, str]:
        """The variables of every process of the side."""

    async def restart_app(self) -> None:
        """Start the app again on the port that it had."""

    async def start_replica(self) -> str:
        """Start the app once more, on a port of its own, with the same database; return its URL."""

    async def restart_broker(self) -> None:
        """Start the broker that was killed again, on its port and folder."""

    def start_worker(self, name: str = "worker", *, app: str = "") -> None:
        """Start a worker, of another Celery `app` where one is named."""

    def start_beat(self, name: str = "beat") -> None:
        """Start what makes the periodic ticks of a queue."""

    async def deploy(self, part: str, *, whole_group: bool = False, celery_app: str = "") -> bool:
        """End app, worker or beat as a platform does, and start the next; return whether it ended in time.

        It gets SIGTERM, with `whole_group` each of its processes too, has the platform's grace
        (`bench.process.process_table.PLATFORM_GRACE_S`), and is killed. The next worker has another
        `celery_app` where one is named.
        """


class TargetClient(Protocol):
    """Requests to the side and to what stands around it."""

    @property
    def owners(self) -> Sequence[str]:
        """The owners whose balance the app syncs."""

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call an endpoint of the app."""

    async def fault_job(self, kind: str, name: str, **options: Any) -> int:
        """Hand over a job that no scenario has; return the HTTP status, 0 where none came."""

    async def set_service(self, service: str, **mode: Any) -> None:
        """Tell an outside service how to behave from now on."""

    async def proxy(self, method: str, path: str, **toxic: Any) -> dict[str, Any]:
        """Tell the proxy before the broker how to behave from now on; return its state."""


class Target(Protocol):
    """One side, up and answering."""

    @property
    def queued(self) -> bool:
        """Whether a broker and workers do the work; without them the app does."""

    @property
    def runs_jobs(self) -> str:
        """The part that runs the jobs: worker or app."""

    @property
    def processes(self) -> TargetProcesses:
        """Its processes."""

    @property
    def client(self) -> TargetClient:
        """Its HTTP client."""

    @property
    def folder(self) -> Path:
        """The working folder of the block."""

    @property
    def ledger(self) -> Path:
        """Where every process writes its events, in a file of its own: `events-<pid>.jsonl`."""

    @property
    def facts(self) -> MutableMapping[str, Any]:
        """Facts that the strike records for the fault's checker."""

    @property
    def running_job_wait_s(self) -> float:
        """Seconds that a strike waits for a running job; after that it strikes all the same."""

    async def stamp_kill(self, at_ns: int | None = None) -> None:
        """Record the moment of the kill, now or `at_ns` (monotonic): call it right before the kill.

        The first call of a strike counts.
        """

    def events(self) -> list[dict[str, Any]]:
        """Every event of the block so far."""

    async def until(self, seen: Callable[[list[dict[str, Any]]], bool], *, within_s: float) -> bool:
        """Wait until the events of the block satisfy `seen`; return whether they did in time."""
