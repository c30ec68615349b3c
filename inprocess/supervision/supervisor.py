"""Supervisor: starts processes in order, restarts those that end, stops them in reverse.

- Start: left to right, each waits until the one before has initialised. If one fails, those
  already started stop in reverse, and the start fails with the child's id and reason.
- Restart: by the child's restart value and the strategy. one_for_one restarts the child that
  ended; one_for_all stops and restarts all; rest_for_one those that were started after it.
  Temporary children are never restarted, not even by a sibling. One restart is counted
  however many siblings cycle; a failed start during a restart counts, and is tried again at once.
- Give-up: past `max_restarts` in `max_seconds` it logs that, stops its children and exits
  with reason shutdown, which a parent answers only if the supervisor is a permanent child.
- Stop: reverse order, one at a time; each child is asked, given its limit, killed, and
  abandoned and reported where it ignores that.

Children may be added and removed at run time; a child that ended and is not restarted keeps
its place unless it is temporary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from inprocess.supervision.errors import AlreadyStartedError, StartError
from inprocess.supervision.exits import Exit, Restart, Shutdown, restarts
from inprocess.supervision.gen_server import Caller, GenServer
from inprocess.supervision.process import Held, Process, ShutdownLimit, log
from inprocess.supervision.restarts import MAX_RESTARTS, MAX_SECONDS, RestartIntensity, RestartWindow

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start one child: `start` makes and starts a new process each time it is called.

    `shutdown` is seconds from being asked to being killed, "brutal_kill" or "infinity"; None is
    5 s for a worker and infinity for a supervisor.
    """

    id: str
    start: Callable[[], Process]
    restart: Restart = "permanent"
    shutdown: ShutdownLimit | None = None


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class _Ended:
    child: _Child
    process: Process
    ended: Exit


class Supervisor(GenServer):
    """Keeps processes running; see the module. `async with Supervisor.start([...]) as supervisor:`."""

    shutdown_limit: ClassVar[ShutdownLimit] = "infinity"

    async def init(
        self,
        children: Sequence[ChildSpec] = (),
        *,
        strategy: Strategy = "one_for_one",
        max_restarts: int = MAX_RESTARTS,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """Start the children; raise StartError for the first that fails, ValueError for duplicate ids."""
        self._children: dict[str, _Child] = {}
        self._strategy = strategy
        self._intensity = RestartIntensity(max_restarts, max_seconds)
        self._window = RestartWindow(self._intensity)
        self._quiet = False
        _check_ids(children)
        try:
            for spec in children:
                await self._add(spec)
        except Exception:
            await self._stop_all(list(self._children.values()))
            raise

    async def start_child(self, spec: ChildSpec) -> Process:
        """Add a child and start it; raise AlreadyStartedError for an id that is in use, StartError."""
        started = await self.call(("start_child", spec), timeout=float("inf"))
        if isinstance(started, StartError):
            raise started
        return started  # type: ignore[no-any-return]  # what _start_child answers

    async def terminate_child(self, child_id: str) -> bool:
        """Stop a child and forget it; False where there is none of this id. It is not restarted."""
        return bool(await self.call(("terminate_child", child_id), timeout=float("inf")))

    def which_children(self) -> list[tuple[str, Process | None]]:
        """Ids and processes in the order of their start; None for one that has ended."""
        return [(child.spec.id, child.process) for child in self._children.values()]

    async def handle_call(self, request: tuple[str, Any], caller: Caller, /) -> Any:
        """Serve `start_child` and `terminate_child`."""
        match request:
            case "start_child", ChildSpec() as spec:
                return await self._start_child(spec)
            case "terminate_child", str(child_id):
                return await self._terminate_child(child_id)
        return super().handle_call(request, caller)

    async def handle_info(self, message: Any, /) -> None:
        """Deal with the end of a child."""
        if not isinstance(message, _Ended):
            super().handle_info(message)
        elif message.child.process is message.process:  # else it was stopped on purpose
            await self._child_ended(message.child, message.ended)

    async def terminate(self, _ended: Exit, /) -> None:
        """Stop the children in reverse."""
        await self._stop_all(list(self._children.values()))

    def kill(self) -> None:
        """Kill the children too: nobody else would."""
        for child in self._children.values():
            if child.process is not None:
                child.process.kill()
        super().kill()

    def quiet(self) -> None:
        """Pass it on to every child, those started later included."""
        self._quiet = True
        for process in self._processes():
            process.quiet()

    async def idle(self) -> None:
        """Wait until no child holds work."""
        while any(process.held() for process in self._processes()):
            await asyncio.gather(*(process.idle() for process in self._processes()))

    def held(self) -> Sequence[Held]:
        """The work that the children hold."""
        return [work for process in self._processes() for work in process.held()]

    def _processes(self) -> list[Process]:
        return [child.process for child in self._children.values() if child.process is not None]

    async def _add(self, spec: ChildSpec) -> Process:
        child = self._children[spec.id] = _Child(spec)
        try:
            return await self._start_one(child)
        except StartError:
            del self._children[spec.id]
            raise

    async def _start_one(self, child: _Child) -> Process:
        try:
            child.process = process = child.spec.start()
            await process.ready()
        except Exception as error:
            child.process = None
            raise StartError(f"{self.name}: child {child.spec.id!r} could not start: {error}") from error
        if self._quiet:
            process.quiet()
        process.monitor(lambda ended: self.info(_Ended(child, process, ended)))
        return process

    async def _start_child(self, spec: ChildSpec) -> Process | StartError:
        if spec.id in self._children:
            return AlreadyStartedError(f"{self.name} has a child {spec.id!r} already")
        try:
            return await self._add(spec)
        except StartError as error:
            return error

    async def _terminate_child(self, child_id: str) -> bool:
        child = self._children.pop(child_id, None)
        if child is not None:
            await self._stop_one(child)
        return child is not None

    async def _stop_all(self, children: Sequence[_Child]) -> None:
        for child in reversed(children):
            await self._stop_one(child)

    async def _stop_one(self, child: _Child) -> None:
        process, child.process = child.process, None
        if process is not None:
            await process.stop(child.spec.shutdown)

    async def _child_ended(self, child: _Child, ended: Exit) -> None:
        child.process = None
        if child.spec.restart == "temporary":
            self._children.pop(child.spec.id, None)
        if restarts(child.spec.restart, ended):
            log.warning("%s restarts %s, which ended: %s", self.name, child.spec.id, ended)
            await self._restart(child)

    async def _restart(self, child: _Child) -> None:
        """Restart the child and the siblings that its strategy names, until that succeeds or is too much."""
        while self._wanted is None:
            if not self._window.allows(self.clock.monotonic()):
                self._give_up(child)
            try:
                await self._cycle(self._affected(child))
            except StartError as error:
                log.error("%s: %s", self.name, error)
            else:
                return

    def _affected(self, child: _Child) -> list[_Child]:
        children = list(self._children.values())
        if self._strategy == "one_for_one":
            return [child]
        return children if self._strategy == "one_for_all" else children[children.index(child) :]

    async def _cycle(self, affected: Sequence[_Child]) -> None:
        await self._stop_all(affected)
        for child in affected:
            if child.spec.restart == "temporary":
                del self._children[child.spec.id]
            else:
                await self._start_one(child)

    def _give_up(self, child: _Child) -> None:
        log.error(
            "%s reached its restart intensity, more than %d restarts in %g s, with child %r: "
            "it stops its other children and exits",
            self.name,
            self._intensity.max_restarts,
            self._intensity.max_seconds,
            child.spec.id,
        )
        raise Shutdown


def _check_ids(children: Sequence[ChildSpec]) -> None:
    ids = [spec.id for spec in children]
    twice = sorted({child_id for child_id in ids if ids.count(child_id) > 1})
    if twice:
        raise ValueError(f"two children have the id {twice[0]!r}: ids must be unique")
