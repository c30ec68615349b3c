"""The pool that `celery worker -P swarm` names: children that fetch, run and acknowledge for themselves.

The parent is Celery's worker: one node, with remote control, events, scheduler and state file. It consumes
nothing, so no job crosses a pipe. See `docs/swarm-pool.md`.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from contextlib import suppress
from typing import Any, Final

import click
from celery.concurrency import base
from celery.worker import state as worker_state

from celery_impl.sidekiq.lease.holder import AWAY, stopping
from celery_impl.sidekiq.lease.transport import Transport
from celery_impl.sidekiq.swarm.children import BUDGET, BUDGET_S, ChildProcess, Children
from celery_impl.sidekiq.swarm.node import JobPid, Node

_STATE: Final[Any] = worker_state
#: Seconds between two looks at the children.
LOOK_S: Final = 0.05
#: Seconds between two refreshes of what Celery's heartbeats count.
REFRESH_S: Final = 1.0
#: Seconds that a cold shutdown takes at most to give back what the children held.
COLD_S: Final = 5.0

_BasePool: Final[Any] = base.BasePool

logger = logging.getLogger("celery.pool")


class SwarmError(click.ClickException):
    """The pool cannot run here; the text says why and what to do. The command ends with code 1."""


class SwarmPool(_BasePool):  # type: ignore[misc] # as little as the stubs say of it
    """See the module. Made and called by Celery's worker; raise SwarmError where it cannot run."""

    signal_safe = False
    node: Node

    def __init__(self, *args: Any, threads: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.limit: int
        _check(self.app, threads=threads, forks=self.forking_enable)
        self._children: Children | None = None
        self._entries: list[Any] = []
        self._worker: Any = None
        self._demand = self._begun = 0

    @property
    def children(self) -> list[ChildProcess]:
        """Those that are alive."""
        return self._children.alive if self._children is not None else []

    def begin(self, consumer: Any) -> None:
        """Fork, the first time that the parent's consumer is ready. Called at each connection."""
        if self._children is not None:
            return
        children = Children(consumer.controller, self)
        children.held.connect()  # or its error has the worker connect again, and begin then
        self._worker, self._children = consumer.controller, children
        self.node = Node(consumer, children, self)
        gc.collect()
        gc.freeze()  # what the children share with the parent stays shared
        children.start()
        self._fork_missing()

    def register_with_event_loop(self, hub: Any) -> None:
        """Look at the children regularly. Called at each connection to the broker."""
        for entry in self._entries:
            entry.cancel()
        self._entries = [
            hub.call_repeatedly(LOOK_S, self._look),
            hub.call_repeatedly(REFRESH_S, self._refresh),
        ]

    def maintain_pool(self, *_: Any, **__: Any) -> None:
        """Fork what is missing."""
        self._look()

    def grow(self, n: int = 1) -> None:
        """Start `n` more children."""
        self.limit += n
        self._look()

    def shrink(self, n: int = 1) -> None:
        """Have `n` children stop after their jobs, those first that run none.

        One stays, unless an autoscaler looks after the queues.
        """
        n = min(n, self.limit if self._worker.autoscaler else self.limit - 1)
        self.limit -= n
        staying = [child for child in self.children if not child.stopping]
        for child in sorted(staying, key=lambda child: child.run is not None)[:n]:
            child.stop()

    def demand(self) -> int:
        """Return how many children have a job, and how many jobs wait for one. For the autoscaler."""
        if self._children is not None:
            running = sum(child.run is not None for child in self.children)
            queues = [queue.name for queue in self._worker.consumer.task_consumer.queues]
            try:
                self._demand = running + self._children.held.waiting(queues)
            except AWAY:
                logger.debug("the broker does not answer: the pool stays as it is")
        return self._demand

    def restart(self) -> None:
        """Replace all children, each as soon as its job has ended."""
        for child in self.children:
            child.stop()

    def terminate_job(self, pid: Any, signum: int | None = None) -> None:
        """End a running job: `revoke(terminate=True)`. Its process ends with it; another one is forked."""
        if not isinstance(pid, JobPid):
            return
        run = pid.child.run
        if run is None or run.number != pid.number:
            return  # it has ended meanwhile
        pid.child.slot.terminate(pid.number)
        pid.child.send(signum or signal.SIGTERM)

    def refresh(self) -> None:
        """Show what the children run to what looks at Celery's state next."""
        if self._children is not None:
            with suppress(*AWAY):
                self.node.refresh(reserved=False)

    def forget(self) -> None:
        """Show nothing any more, until the next refresh."""
        if self._children is not None:
            self.node.forget()

    def quiet(self) -> None:
        """Have all children stop after their jobs, and fork no others."""
        self.limit = 0
        for child in self.children:
            child.stop()

    def on_stop(self) -> None:
        """Wait until the children have finished their jobs; kill them in a cold shutdown."""
        if self._children is None:
            return
        self.quiet()
        while self._children.alive:
            if worker_state.should_terminate:
                self.on_terminate()
                return
            self._children.reap()
            time.sleep(LOOK_S)
        self._settle()

    def on_terminate(self) -> None:
        """Kill the children, and give back what they held."""
        if self._children is None:
            return
        self.limit = 0
        for child in tuple(self._children.alive):
            child.kill()
        for child in tuple(self._children.alive):
            child.process.join(COLD_S)
        self._settle()

    def _settle(self) -> None:
        children, self._children = self._children, None
        if children is None:
            return
        until = time.monotonic() + COLD_S
        children.reap()
        while (children.ended or children.alive) and time.monotonic() < until:
            time.sleep(LOOK_S)
            children.reap()
        children.close()

    def _look(self) -> None:
        if self._children is None:
            return
        if not self._children.reap():
            logger.critical(
                "%d processes ended before they fetched a job, within %g s: the worker stops. "
                "The lines above say why they did",
                BUDGET,
                BUDGET_S,
            )
            _STATE.should_stop = os.EX_SOFTWARE
        self._fork_missing()

    def _fork_missing(self) -> None:
        # A TERM to the whole group ends the children too: no other ones, or they would end as well, for ever.
        while self._children is not None and not stopping():
            staying = [child for child in self._children.alive if not child.stopping]
            if len(staying) >= self.limit or not self._children.may_fork():
                return
            self._children.fork()

    def _refresh(self) -> None:
        self.refresh()
        autoscaler, begun = self._worker.autoscaler, worker_state.all_total_count[0]
        if autoscaler:
            if begun != self._begun:
                autoscaler.on_task_received(None)
            self._begun = begun
            autoscaler.maybe_scale()

    def _get_info(self) -> dict[str, Any]:
        return {
            **super()._get_info(),
            "processes": [child.pid for child in self.children],
            "max-tasks-per-child": self.options.get("maxtasksperchild") or "N/A",
            "timeouts": (self.options.get("soft_timeout") or 0, self.options.get("timeout") or 0),
        }


def _check(app: Any, *, threads: bool, forks: bool) -> None:
    transport = app.connection_for_read().get_transport_cls()
    if not (isinstance(transport, type) and issubclass(transport, Transport)):
        raise SwarmError(
            "-P swarm needs Sidekiq(app) and the lease: a broker_url of lease+redis://, or "
            'broker_transport_options={"lease": True}. Use -P prefork with this broker.'
        )
    if threads or not hasattr(os, "fork") or not forks:
        raise SwarmError("-P swarm needs an event loop and fork(): use -P prefork here.")
