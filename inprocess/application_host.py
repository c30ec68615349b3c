"""Runs a build's supervision tree: on the app's loop, or on a thread of its own where nobody hosts it.

An async app enters `lifespan()`, and the tree lives on the app's loop. Without a lifespan, the first call
of a scenario starts the tree on a background thread; it is drained when the interpreter ends, or by
`stop()`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from inprocess.supervision.core.log import log
from inprocess.supervision.core.names import whereis
from inprocess.supervision.core.process import KILL_WAIT_S, Process
from inprocess.supervision.lifecycle.drain import GRACE_S, DrainReport, cut_off, drain
from inprocess.supervision.lifecycle.runtime import Runtime, attach
from inprocess.supervision.supervisors.supervisor import ChildSpec, Supervisor
from inprocess.supervision.tasks.task import unlinked
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from scenarios import jobs, ledger
from scenarios.contract import RefusedError

_SCENARIOS = {"crm": jobs.ACCOUNT_SETUP, "fulfillment": jobs.ACCOUNT_SETUP, "sync": jobs.ACCOUNT_SYNC}


@dataclass(frozen=True, slots=True)
class _Running:
    tree: Supervisor
    tasks: TaskSupervisor  # those of Task.start
    loop: asyncio.AbstractEventLoop


class ApplicationHost:
    """See the module. `specs` makes the specs of the tree's children each time that it starts."""

    def __init__(self, specs: Callable[[], Sequence[ChildSpec]], *, name: str) -> None:
        self.name = name
        self._specs = specs
        self._running: list[_Running] = []
        self._starting = threading.Lock()
        self._background: Runtime = Runtime(self.lifespan, name=name)
        # The tree is the original's; a fork starts its own.
        os.register_at_fork(after_in_child=self._running.clear)

    @asynccontextmanager
    async def lifespan(self, grace_s: float = GRACE_S) -> AsyncIterator[Supervisor]:
        """Run the tree on the running loop; at the end drain it for `grace_s` and log what was cut off.

        Tasks of `Task.start` are not waited for: those that still run after the drain are cut off. Raise
        StartError if the tree runs already in this process.
        """
        loop = asyncio.get_running_loop()
        tree = Supervisor.start(self._specs(), name=self.name)
        await tree.ready()
        application = _Running(tree, unlinked(loop), loop)
        self._running.append(application)
        try:
            with attach(loop):
                yield tree
        finally:
            try:
                await self._drain(application, grace_s)
            finally:
                self._running.remove(application)

    def process(self, name: str) -> Process:
        """Return the process with this name; start the tree in the background if it does not run.

        Raise RefusedError while that process is being restarted.
        """
        self.home()
        found = whereis(name)
        if found is None:
            raise RefusedError(f"{name} is being restarted by its supervisor: try again in a moment")
        assert isinstance(found, Process)  # noqa: S101 - what has a name
        return found

    def home(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the tree; start the tree in the background if it does not run."""
        if not self._running:
            with self._starting:
                if not self._running:
                    self._background.start()
        return self._running[-1].loop

    def pending_jobs(self) -> list[str]:
        """Return the jobs that exist only in memory now: waiting, running or backing off."""
        trees = list(self._running)
        return [work.name for running in trees for work in (*running.tree.held(), *running.tasks.held())]

    def stop(self) -> None:
        """Drain and end the tree in the background, if it runs."""
        self._background.stop()

    async def _drain(self, application: _Running, grace_s: float) -> None:
        application.tasks.quiet()
        report = await drain(application.tree, grace_s=grace_s)
        tasks = application.tasks.held()
        states = [task.state for task in tasks]
        await application.tasks.stop(KILL_WAIT_S)
        report = DrainReport(report.ended, report.cut_off + cut_off(tasks, states))
        if tasks:
            log.error("unlinked tasks, %s", DrainReport(0, cut_off(tasks, states)))
        _record(report)


def _record(report: DrainReport) -> None:
    """Record cut-off work as given up. A running attempt has recorded its own cancellation."""
    for work in report.cut_off:
        scenario = _SCENARIOS.get(work.name.rpartition("/")[2])
        if scenario is None:
            continue
        if work.state != "running":
            ledger.record("cancelled", scenario=scenario, job=work.name, attempt=work.attempt)
        ledger.failed(scenario, work.name, where="log", error="cut off when the app ended")
