"""DynamicSupervisor: independent processes of one kind, started at run time, in any number.

As Elixir's `DynamicSupervisor`. The strategy is one_for_one. Children have no ids; a child is identified
by its process. Restart values, the shared window and the give-up are those of Supervisor. All children
are stopped at once, each within its own limit. A child that ends and is not restarted is forgotten.

Made for many children: a child takes a place in one dict and shares its ChildSpec with the others, so
start them with `start_child(spec, *arguments)` and one spec. A task exists only while a child's async
`init` runs. Stopping is spread over several turns of the loop.

Differences from OTP: children start and restart concurrently, and a slow start delays no other. A start
whose caller is cancelled is undone. The window is not truncated to whole seconds.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Any, Literal, Self

from inprocess.supervision.core.clock import Clock, Timer, settle
from inprocess.supervision.core.contexts import Origin, origin
from inprocess.supervision.core.eager import run_eagerly
from inprocess.supervision.core.errors import NoSuchChildError, Refused, ServerDiedError, StartError
from inprocess.supervision.core.exits import SHUTDOWN, Exit, restarts
from inprocess.supervision.core.log import log
from inprocess.supervision.core.loops import ends_with_its_loop
from inprocess.supervision.core.process import (
    KILL_WAIT_S,
    BaseProcess,
    Process,
    ShutdownLimit,
    ended_within,
)
from inprocess.supervision.core.restarts import (
    MAX_RESTARTS,
    MAX_SECONDS,
    RestartIntensity,
    check_max_children,
)
from inprocess.supervision.supervisors.base import BaseSupervisor, raise_if_it_ends_loop
from inprocess.supervision.supervisors.child_spec import ChildCounts, ChildSpec, spec_of

#: Children that one step asks to end; the next steps ask the rest.
STOPS_PER_STEP = 500

#: How to start a child: its spec, its arguments, and the context it was asked for in. Only the spec if there
#: are no arguments and the context is the supervisor's, which saves a tuple for each of a million children.
_Recipe = ChildSpec | tuple[ChildSpec, tuple[Any, ...], Origin]


class DynamicSupervisor(BaseSupervisor):
    """Starts processes at run time. `async with DynamicSupervisor.start() as supervisor:`."""

    __slots__ = (
        "_alarms", "_children", "_extra", "_leaving", "_max_children", "_refusal", "_restarting", "_specs",
        "_starting", "_to_restart",
    )  # fmt: skip

    def __init__(
        self, intensity: RestartIntensity, max_children: float, extra_arguments: tuple[Any, ...]
    ) -> None:
        super().__init__(intensity)
        self._max_children = max_children
        self._extra = extra_arguments
        self._children: dict[BaseProcess, _Recipe] = {}
        #: Children in their `init`, and children being stopped, with the timer that abandons them.
        self._starting: dict[BaseProcess, None] = {}
        self._leaving: dict[BaseProcess, Timer | None] = {}
        #: Children that will be restarted, with the process that ended.
        self._to_restart: deque[tuple[BaseProcess, _Recipe]] = deque()
        #: Those whose new process, in the list, is in its `init`, by the one that ended.
        self._restarting: dict[BaseProcess, tuple[asyncio.Task[None], list[BaseProcess]]] = {}
        self._alarms: list[Timer] = []
        self._refusal: Refused | None = None
        #: Specs of the classes that were started, so that children share them.
        self._specs: dict[object, ChildSpec] = {}

    @classmethod
    def start(
        cls,
        *,
        max_children: float = math.inf,
        extra_arguments: Sequence[Any] = (),
        max_restarts: int = MAX_RESTARTS,
        max_seconds: float = MAX_SECONDS,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Start a supervisor on the running loop, or else on the runtime's. Any thread.

        `extra_arguments` go before those of `start_child`, for every child. Raise ValueError for a bound or
        a window out of range, AlreadyStartedError if the name is taken.
        """
        check_max_children(max_children)
        intensity = RestartIntensity(max_restarts, max_seconds)
        make = partial(cls, intensity, max_children, tuple(extra_arguments))
        return cls._launch(make, name, clock)

    async def start_child(self, spec: ChildSpec | type[Any], *arguments: Any) -> Process | Refused | None:
        """Start `spec.start(*extra_arguments, *arguments)`, wait until it is ready, and return the process.

        A class stands for the spec of its `start`, see `child_spec.spec_of`. Return None if the child is
        ignored, and Refused, an error value, beyond `max_children` and while draining. The spec's id is for
        logs only; `significant` has no effect. Raise StartError if the start fails, ServerDiedError if the
        supervisor ends first. Any loop.
        """
        if asyncio.get_running_loop() is not self.loop:
            return await self.on_its_loop(partial(self.start_child, spec, *arguments))
        self._check_alive()
        if not isinstance(spec, ChildSpec):
            spec = self._specs.get(spec) or self._specs.setdefault(spec, spec_of(spec))
        if self.is_suspended:
            await self._until_resumed()
        if self._refusal is not None:
            return self._refusal
        if self.count >= self._max_children:
            text = f"{self.name} has {self.count} children, its max_children: try later, or raise the bound"
            return Refused("max_children", text)
        try:
            asked_from = origin(self._origin)
            is_plain = not arguments and asked_from is self._origin
            started = await self._start_one(spec if is_plain else (spec, arguments, asked_from), [])
        except StartError as error:
            raise_if_it_ends_loop(error)
            raise
        return None if started is None else started.handle

    async def terminate_child(self, process: Process) -> None:
        """Stop a child for good, within its limit; raise NoSuchChildError if it is not its own. Any loop.

        A child that is being restarted is ended by the process that it was before.
        """
        if asyncio.get_running_loop() is not self.loop:
            await self.on_its_loop(partial(self.terminate_child, process))
            return
        if self.is_suspended:
            await self._until_resumed()
        child = process.__process__
        recipe = self._children.pop(child, None)
        if recipe is None:
            if await self._end_restart(child):
                return
            raise NoSuchChildError(f"{self.name} has no child {process!r}: it has ended, or never was one")
        self._leaving[child] = None
        await child.stop(_spec(recipe).shutdown)

    async def _end_restart(self, ended: BaseProcess) -> bool:
        """End the restart of a child; return whether there was one."""
        for waiting in self._to_restart:
            if waiting[0] is ended:
                self._to_restart.remove(waiting)
                return True
        task, made = self._restarting.pop(ended, (None, []))
        if task is None:
            return False
        task.cancel()  # which kills what it has made
        await asyncio.wait((task,))
        for process in made:
            if process in self._children:  # its `init` returned just now
                await self.terminate_child(process.handle)
            else:
                await ended_within(self.clock, process, KILL_WAIT_S)
        return True

    def which_children(self) -> list[tuple[str, Process | Literal["restarting"]]]:
        """Return spec ids, which need not be unique, and processes. Any thread."""
        return self._here(lambda: list(self._shown()))

    def count_children(self) -> ChildCounts:
        """Return the numbers of children, see ChildCounts; those that restart are not active. Any thread."""
        return self._here(self._counts)

    @property
    def count(self) -> int:
        """Number of children, including those that start or restart. Any thread."""
        return len(self._children) + len(self._starting) + len(self._to_restart)

    @property
    def mailbox_depth(self) -> int:
        """Number of restarts and requests that wait."""
        return len(self._to_restart) + len(self._waiting)

    def suspend(self, *, on: bool) -> None:
        """See `BaseProcess.suspend`."""
        super().suspend(on=on)
        if not on:
            for waiting in self._waiting:
                settle(waiting)
            for _ in self._to_restart:
                self.scheduler.soon(self._restart_next)

    def system_state(self) -> dict[str, Any]:
        """See `BaseSupervisor.system_state`; there may be a million children, so only their numbers."""
        return {"max_children": self._max_children, **super().system_state(), **asdict(self._counts())}

    def quiet(self) -> None:
        """Refuse new children, and pass it on to the others. Restarts go on."""
        self._refusal = Refused("draining", f"{self.name} is draining: the app takes no new work")
        super().quiet()

    def child_ended(self, process: BaseProcess, ended: Exit, /) -> None:
        """Restart the child in the loop's next turn, if it is to be restarted."""
        recipe = self._children.pop(process, None)
        if recipe is None:
            self._starting.pop(process, None)
            alarm = self._leaving.pop(process, None)
            if alarm is not None:
                alarm.cancel()
        elif self._wanted is None and not self._killing and restarts(_spec(recipe).restart, ended):
            log.warning("%s restarts %s, which ended: %s", self.name, _spec(recipe).id, ended)
            self._restart_soon(process, recipe)
        if (self._stopping or self._killing) and self._is_empty():
            if self._killing:
                self._end_killed()
            else:
                self._end(self._wanted or SHUTDOWN)

    def _shown(self) -> Iterator[tuple[str, Process | Literal["restarting"]]]:
        for process, recipe in self._children.items():
            yield _spec(recipe).id, process.handle
        for _, recipe in self._to_restart:
            yield _spec(recipe).id, "restarting"

    def _counts(self) -> ChildCounts:
        active = len(self._children)
        recipes = chain(self._children.values(), (recipe for _, recipe in self._to_restart))
        supervisors = sum(_spec(recipe).type == "supervisor" for recipe in recipes)
        specs = active + len(self._to_restart)
        return ChildCounts(specs, active, supervisors, specs - supervisors)

    def _processes(self) -> list[BaseProcess]:
        return [*self._children, *self._leaving, *self._starting]

    def _is_empty(self) -> bool:
        return not (self._children or self._leaving or self._starting)

    async def _begin(self) -> None:
        self._became_ready()

    async def _start_one(self, recipe: _Recipe, made: list[BaseProcess]) -> BaseProcess | None:
        def begun(process: BaseProcess) -> None:
            made.append(process)
            self._starting[process] = None

        spec, arguments, asked_from = (recipe, (), self._origin) if isinstance(recipe, ChildSpec) else recipe
        try:
            process = await self._start_process(spec, (*self._extra, *arguments), asked_from, begun)
        except BaseException:
            for begun_process in made:
                self._discard(begun_process)
            raise
        if process is None:
            return None
        self._starting.pop(process, None)
        if self._wanted is not None or self._killing:
            self._discard(process)
            raise ServerDiedError(f"{self.name} ended while {spec.id!r} started")
        self._children[process] = recipe
        if process.exit is not None:
            self.child_ended(process, process.exit)
        return process

    def _discard(self, process: BaseProcess) -> None:
        """Kill a process whose start was interrupted. Only this supervisor's own end waits for it."""
        self._starting.pop(process, None)
        if process.exit is None:
            self._leaving[process] = self.scheduler.call_later(KILL_WAIT_S, partial(_abandon_late, [process]))
            process.kill()

    def _restart_soon(self, ended: BaseProcess, recipe: _Recipe) -> None:
        self._to_restart.append((ended, recipe))
        self.scheduler.soon(self._restart_next)

    def _restart_next(self) -> None:
        if not self._to_restart or self._wanted is not None or self._killing or self.is_suspended:
            return
        ended, recipe = self._to_restart.popleft()
        if ends_with_its_loop(self, is_killed=self._killing):
            return
        if self._window.allows(self.scheduler.monotonic()):
            self.restarts += 1
            made: list[BaseProcess] = []
            task = run_eagerly(self._restart(ended, recipe, made), self.loop)
            if task is not None:
                self._restarting[ended] = task, made
                task.add_done_callback(lambda _task: self._restarting.pop(ended, None))
        else:
            self._give_up(_spec(recipe).id)

    async def _restart(self, ended: BaseProcess, recipe: _Recipe, made: list[BaseProcess]) -> None:
        try:
            await self._start_one(recipe, made)
        except StartError as error:
            if self._wanted is None and not self._killing:
                log.error("%s", error)
                self._restart_soon(ended, recipe)
            raise_if_it_ends_loop(error)
        except ServerDiedError:
            return

    async def _until_resumed(self) -> None:
        """Wait for the end of `sys.suspend`; raise ServerDiedError if it ends before."""
        while self.is_suspended:
            resumed = self.loop.create_future()
            self._waiting.add(resumed)
            try:
                await resumed
            finally:
                self._waiting.discard(resumed)
        self._check_alive()

    def _check_alive(self) -> None:
        if self._wanted is not None or self._killing or self.exit is not None:
            raise ServerDiedError(f"{self.name} has ended, or is about to: it starts nothing more")

    def _stop_children(self) -> None:
        self._to_restart.clear()
        for process in list(self._starting):
            if isinstance(process, BaseSupervisor):
                process.shutdown()
            else:
                self._discard(process)
        self._ask_some(deque(reversed(self._children.items())), {})

    def _ask_some(
        self, left: deque[tuple[BaseProcess, _Recipe]], late: dict[ShutdownLimit, list[BaseProcess]]
    ) -> None:
        """Ask some children to end, then the next; after the last, set a timer for each limit."""
        for _ in range(min(len(left), STOPS_PER_STEP)):
            process, recipe = left.popleft()
            limit = _spec(recipe).shutdown
            limit = process.shutdown_limit if limit is None else limit
            (process.kill if limit == "brutal_kill" else process.shutdown)()
            if process.exit is None:
                late.setdefault(limit, []).append(process)
        if left and not self._killing:
            self.scheduler.soon(partial(self._ask_some, left, late))
            return
        for limit, processes in late.items():
            self._set_alarm(limit, processes)
        if self._is_empty() and self._wanted is not None:
            self._end(self._wanted)

    def _set_alarm(self, limit: ShutdownLimit, processes: list[BaseProcess]) -> None:
        if limit == "brutal_kill":
            self._after(KILL_WAIT_S, partial(_abandon_late, processes))
        elif limit not in {"infinity", math.inf}:
            assert isinstance(limit, float | int)  # noqa: S101 - the two words are dealt with
            self._after(limit, partial(self._kill_late, processes))

    def _kill_late(self, processes: list[BaseProcess]) -> None:
        late = [process for process in processes if process.exit is None]
        for process in late:
            process.kill()
        if late:
            self._after(KILL_WAIT_S, partial(_abandon_late, late))

    def _after(self, seconds: float, callback: Callable[[], object]) -> None:
        self._alarms.append(self.scheduler.call_later(seconds, callback))

    def _end(self, ended: Exit) -> None:
        for alarm in self._alarms:
            alarm.cancel()
        super()._end(ended)


def _spec(recipe: _Recipe) -> ChildSpec:
    return recipe if isinstance(recipe, ChildSpec) else recipe[0]


def _abandon_late(processes: list[BaseProcess]) -> None:
    for process in processes:
        if process.exit is None:
            process._abandon()  # noqa: SLF001 - a process is reported by its parent
