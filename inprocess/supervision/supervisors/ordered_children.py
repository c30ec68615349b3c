"""OrderedSupervisor: children with ids and an order, started, restarted by strategy, and stopped.

Base of Supervisor and PartitionSupervisor, which add operations for their users. Every operation goes
into one queue, and they run one after the other. Two things race:

1. A child ends, its end is queued, and an operation before it stops or restarts that child. The
   queued end is then stale: the child has another process by then, or none.
2. The supervisor is asked to end while an operation waits. A start is interrupted, a stop is finished;
   then all children are stopped, whatever state the operation left them in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from inprocess.supervision.core.contexts import Origin
from inprocess.supervision.core.errors import StartError
from inprocess.supervision.core.exits import SHUTDOWN, Exit, restarts
from inprocess.supervision.core.log import log
from inprocess.supervision.core.loops import ends_with_its_loop
from inprocess.supervision.core.process import BaseProcess, Process
from inprocess.supervision.core.restarts import RestartIntensity
from inprocess.supervision.supervisors.base import BaseSupervisor, raise_if_it_ends_loop
from inprocess.supervision.supervisors.child_spec import (
    AutoShutdown,
    ChildCounts,
    ChildSpec,
    check_ids,
    check_significance,
)
from inprocess.supervision.supervisors.strategy import Strategy, affected, ends_supervisor

Operation = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True, eq=False)
class ChildRecord:
    """One child: its spec, the context it was asked for in, its state and process."""

    spec: ChildSpec
    asked_from: Origin
    state: Literal["stopped", "starting", "running", "stopping", "restarting"] = "stopped"
    process: BaseProcess | None = None


class OrderedSupervisor(BaseSupervisor):
    """Base class; see the module."""

    __slots__ = ("_auto_shutdown", "_by_process", "_children", "_operations", "_starting", "_strategy")

    def __init__(
        self,
        children: Sequence[ChildSpec],
        strategy: Strategy,
        intensity: RestartIntensity,
        auto_shutdown: AutoShutdown,
    ) -> None:
        super().__init__(intensity)
        _check_option("strategy", strategy, get_args(Strategy))
        _check_option("auto_shutdown", auto_shutdown, get_args(AutoShutdown))
        check_ids(children)
        check_significance(children, auto_shutdown)
        self._strategy = strategy
        self._auto_shutdown = auto_shutdown
        self._children = {spec.id: ChildRecord(spec, self._origin) for spec in children}
        self._by_process: dict[BaseProcess, ChildRecord] = {}
        self._operations: deque[Operation] = deque()
        self._starting: ChildRecord | None = None

    def which_children(self) -> list[tuple[str, Process | Literal["restarting"] | None]]:
        """Return ids and processes in the order of start; None for a child that does not run. Any thread."""
        return self._here(lambda: [(child_id, _shown(child)) for child_id, child in self._children.items()])

    def count_children(self) -> ChildCounts:
        """Return the numbers of children, see ChildCounts. Any thread."""
        return self._here(self._counts)

    @property
    def mailbox_depth(self) -> int:
        """Number of requests and exits that wait."""
        return len(self._operations)

    def system_state(self) -> dict[str, Any]:
        """See `BaseSupervisor.system_state`."""
        children = {child_id: child.state for child_id, child in self._children.items()}
        options = {"strategy": self._strategy, "auto_shutdown": self._auto_shutdown}
        return {**options, **super().system_state(), "children": children}

    def child_ended(self, process: BaseProcess, ended: Exit, /) -> None:
        """Queue the end of a child, unless the supervisor stopped it."""
        child = self._by_process.pop(process, None)
        if self._killing:
            if self._is_empty():
                self._end_killed()
        elif child is not None and child.state == "running":
            self._queue(partial(self._child_ended, child, process, ended))

    def _processes(self) -> list[BaseProcess]:
        return [
            child.process
            for child in self._children.values()
            if child.process is not None and child.process.exit is None
        ]

    def _is_empty(self) -> bool:
        return not self._by_process

    def _counts(self) -> ChildCounts:
        supervisors = sum(child.spec.type == "supervisor" for child in self._children.values())
        specs = len(self._children)
        active = sum(child.process is not None for child in self._children.values())
        return ChildCounts(specs, active, supervisors, specs - supervisors)

    async def _begin(self) -> None:
        for child in list(self._children.values()):
            try:
                await self._start_one(child)
            except StartError as error:
                log.error("%s", error)
                self._start_error = error
                self._wanted = Exit("crash", error)
                raise_if_it_ends_loop(error)
            if self._wanted is not None:
                return
        self._became_ready()

    def _next(self) -> None:
        if self._operations:
            self._run(self._operations.popleft()())
            if self._operations and self._task is None:
                self._wake()

    def _queue(self, operation: Operation) -> None:
        self._operations.append(operation)
        if self._task is None:
            self._wake()

    def _interrupt(self) -> None:
        if self._starting is not None and self._task is not None:
            self._task.cancel()

    def _stop_children(self) -> None:
        self._run(self._stop_all())

    async def _stop_all(self) -> None:
        for child in reversed(list(self._children.values())):
            await self._stop_one(child)
        assert self._wanted is not None  # noqa: S101 - tells the type checker why this runs
        self._end(self._wanted)

    async def _start_one(self, child: ChildRecord) -> BaseProcess | None:
        def made(process: BaseProcess) -> None:
            child.process = process
            self._by_process[process] = child

        child.state = "starting"
        self._starting = child
        try:
            process = await self._start_process(child.spec, (), child.asked_from, made)
        except StartError:
            child.process, child.state = None, "stopped"
            raise
        finally:
            self._starting = None
        if process is None:
            child.process, child.state = None, "stopped"
            self._forget_temporary(child)
            return None
        child.state = "running"
        if process.exit is not None:
            self._queue(partial(self._child_ended, child, process, process.exit))
        return process

    async def _stop_one(self, child: ChildRecord) -> None:
        was, child.state = child.state, "stopping"
        process = child.process
        if process is not None and process.exit is None:
            # A worker in its init has nothing to clean up yet, and may hang there.
            in_init = was == "starting" and not isinstance(process, BaseSupervisor)
            await process.stop("brutal_kill" if in_init else child.spec.shutdown)
        child.process, child.state = None, "stopped"

    def _forget_temporary(self, child: ChildRecord) -> None:
        if child.spec.restart == "temporary":
            self._children.pop(child.spec.id, None)

    async def _child_ended(self, child: ChildRecord, process: BaseProcess, ended: Exit) -> None:
        if child.process is not process or child.state != "running":  # stopped meanwhile
            return
        child.process, child.state = None, "stopped"
        if restarts(child.spec.restart, ended):
            log.warning("%s restarts %s, which ended: %s", self.name, child.spec.id, ended)
            await self._restart(child)
            return
        if ended.kind == "crash":
            log.error("%s does not restart %s, which ended: %s", self.name, child.spec.id, ended)
        self._forget_temporary(child)
        others = (other.spec for other in self._children.values() if other.state != "stopped")
        if ends_supervisor(self._auto_shutdown, child.spec, others):
            log.info("%s shuts down: its significant child %r ended: %s", self.name, child.spec.id, ended)
            self._finish(SHUTDOWN)

    async def _restart(self, child: ChildRecord) -> None:
        if ends_with_its_loop(self, is_killed=self._killing):
            return
        if not self._window.allows(self.scheduler.monotonic()):
            self._give_up(child.spec.id)
            return
        self.restarts += 1
        await self._cycle(affected(self._strategy, self._children, child.spec.id))

    async def _try_again(self, child: ChildRecord) -> None:
        if child.state == "restarting":
            await self._restart(child)

    async def _cycle(self, children: Sequence[ChildRecord]) -> None:
        """Stop these children in reverse and start them in order; try again from one that fails to start."""
        for child in reversed(children):
            await self._stop_one(child)
            self._forget_temporary(child)
        for child in children:
            if child.spec.restart == "temporary" or self._wanted is not None:
                continue
            try:
                await self._start_one(child)
            except StartError as error:
                log.error("%s", error)
                child.state = "restarting"
                self._queue(partial(self._try_again, child))
                raise_if_it_ends_loop(error)
                return


def _check_option(option: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{option} is {value!r}: expected one of {', '.join(allowed)}")


def _shown(child: ChildRecord) -> Process | Literal["restarting"] | None:
    if child.state == "restarting":
        return "restarting"
    return None if child.process is None else child.process.handle
