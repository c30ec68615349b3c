"""What every process of a tree has in common: it starts, ends once with an Exit, and can be stopped.

A process lives on one event loop. Stopping it goes in three steps:

1. ask (`shutdown`): it finishes what it is doing and cleans up;
2. after its time limit, kill (`kill`): its task is cancelled and cleans up no more;
3. Python cannot kill a task that swallows the cancellation, nor a thread: after KILL_WAIT_S
   it is abandoned and reported by name, and nothing waits for it any longer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from inprocess.supervision.core import names
from inprocess.supervision.core.clock import Clock, settle
from inprocess.supervision.core.exits import SHUTDOWN, Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.scheduler import Scheduler, scheduler_of

ShutdownLimit = float | Literal["brutal_kill", "infinity"]

#: Seconds that a worker gets to end after it was asked to, OTP's default.
SHUTDOWN_S = 5.0
#: Seconds that a cancelled task gets to end before it is abandoned.
KILL_WAIT_S = 0.5

#: Processes started within this time share the record of their start, which is then one number for all, s.
STARTED_TOGETHER_S = 0.001


class Held(Protocol):
    """One piece of work that exists only in memory."""

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def state(self) -> str:
        """waiting, running, backing off, abandoned or ended."""

    @property
    def attempt(self) -> int:
        """Which run of it this is, from 1."""

    def describe(self) -> str:
        """Its name and arguments, cut to a line."""


class Ending:
    """Something that ends once. `exit` is None until then."""

    __slots__ = ("_monitors", "exit")

    def __init__(self) -> None:
        self.exit: Exit | None = None
        self._monitors: list[Callable[[Exit], object]] | None = None

    def monitor(self, callback: Callable[[Exit], object]) -> None:
        """Call `callback` with the exit when this ends, at once where it has ended. Loop's thread only."""
        if self.exit is not None:
            callback(self.exit)
        elif self._monitors is None:
            self._monitors = [callback]
        else:
            self._monitors.append(callback)

    async def wait(self) -> Exit:
        """Wait for the end and return the exit. Not bounded: see `ended_within`."""
        if self.exit is None:
            ended = asyncio.get_running_loop().create_future()
            self.monitor(lambda _exit: settle(ended))
            await ended
        assert self.exit is not None  # noqa: S101 - tells the type checker what `wait` ensures
        return self.exit

    def _end(self, ended: Exit) -> None:
        if self.exit is not None:
            return
        self.exit = ended
        monitors, self._monitors = self._monitors, None
        for callback in monitors or ():
            callback(ended)


async def ended_within(clock: Clock, ending: Ending, seconds: float) -> bool:
    """Wait for the end, for `seconds` at most; say whether it came."""
    if ending.exit is None:
        woken = asyncio.get_running_loop().create_future()
        ending.monitor(lambda _exit: settle(woken))
        timer = None if seconds == math.inf else clock.call_later(seconds, lambda: settle(woken))
        try:
            await woken
        finally:
            if timer is not None:
                timer.cancel()
    return ending.exit is not None


def abandon(task: asyncio.Task[object] | None, what: str) -> None:
    """Wait no longer for a task that will not end: report it and let the loop close without it."""
    log.error("%s ignored its cancellation and was abandoned; it may still be running", what)
    if task is not None:
        # asyncio.run waits for every task that it knows, for ever. This call is documented for
        # authors of task classes ("Extending" in asyncio's manual).
        asyncio._unregister_task(task)  # noqa: SLF001 - documented under this name


class ProcessAttribute:
    """An attribute that is asked of `__process__`, unless the object has one of its own by this name.

    So a class that a user derives from GenServer may use the name for something else.
    """

    __slots__ = ("_name",)

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, process: Process | None, _owner: type) -> Any:
        return self if process is None else getattr(process.__process__, self._name)


class Process:
    """A process as others see it. `async with` waits for the start, and stops at the end.

    What the runtime deals with is `__process__`: the same object, but for a GenServer, whose
    attributes are its author's alone.
    """

    __slots__ = ()

    #: How long a supervisor waits for this kind of process unless the child spec says otherwise.
    shutdown_limit: ClassVar[ShutdownLimit] = SHUTDOWN_S

    if TYPE_CHECKING:

        @property
        def exit(self) -> Exit | None:
            """How it ended; None until then."""

        @property
        def name(self) -> str:
            """The unique name it was started with, else what it is."""

        @property
        def parent(self) -> BaseProcess | None:
            """Who starts and stops it; None where nobody does. Set by a supervisor, once it has started."""

        @property
        def scheduler(self) -> Scheduler:
            """Where its steps and timers wait."""

        @property
        def started_at(self) -> float:
            """When it was started, by `scheduler.monotonic`, s; up to STARTED_TOGETHER_S too early."""

        @property
        def loop(self) -> asyncio.AbstractEventLoop:
            """The loop that it lives on."""

        @property
        def clock(self) -> Clock:
            """Where its time comes from."""

        @property
        def is_here(self) -> bool:
            """Whether the caller is on the thread of this process's loop."""

    else:
        exit = ProcessAttribute()
        name = ProcessAttribute()
        parent = ProcessAttribute()
        scheduler = ProcessAttribute()
        started_at = ProcessAttribute()
        loop = ProcessAttribute()
        clock = ProcessAttribute()
        is_here = ProcessAttribute()

    @property
    def __process__(self) -> BaseProcess:
        """The runtime's side of it."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Wait until the process is initialised; raise StartError where that failed."""
        await self.__process__.ready()

    def monitor(self, callback: Callable[[Exit], object]) -> None:
        """Call `callback` with the exit when this ends, at once where it has ended. Loop's thread only."""
        self.__process__.monitor(callback)

    async def wait(self) -> Exit:
        """Wait for the end and return the exit. Not bounded: see `ended_within`."""
        return await self.__process__.wait()

    def shutdown(self) -> None:
        """Ask it to end. Loop's thread only."""
        self.__process__.shutdown()

    def kill(self) -> None:
        """End it without clean-up, as far as Python can. Loop's thread only."""
        self.__process__.kill()

    async def stop(self, limit: ShutdownLimit | None = None) -> None:
        """End it as the module's steps say; `limit` is `shutdown_limit` unless given.

        Where this is cancelled, it is killed at once.
        """
        await self.__process__.stop(limit)

    def quiet(self) -> None:
        """Take no new work from now on; what was taken goes on. Loop's thread only."""

    async def idle(self) -> None:
        """Wait until no work is held."""

    def held(self) -> Sequence[Held]:
        """The work that this process, and those below it, have taken and not finished."""
        return ()

    async def __aenter__(self) -> Self:
        try:
            await type(self).ready(self)  # of its class: the attribute may be the author's
        except asyncio.CancelledError:
            await type(self).stop(self)
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await type(self).stop(self)


class BaseProcess(Ending, Process):
    """Base of every process: of a GenServer's message loop, of supervisors and of periodic servers."""

    __slots__ = ("__weakref__", "_name", "parent", "scheduler", "started_at")

    _name: str | None
    parent: BaseProcess | None
    scheduler: Scheduler
    started_at: float

    def _bind(self, name: str | None, clock: Clock | None) -> None:
        """Live on the running loop, under `name`; raise AlreadyStartedError where the name is taken."""
        scheduler = self.scheduler = scheduler_of(asyncio.get_running_loop(), clock)
        self.started_at = _shared(scheduler.monotonic())
        self.parent = None
        self._name = name
        if name is not None:
            names.register(name, self)

    @property
    def __process__(self) -> BaseProcess:
        """Itself."""
        return self

    @property
    def handle(self) -> Process:
        """What users have of it: itself, or the GenServer whose message loop it is."""
        return self

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it lives on."""
        return self.scheduler.loop

    @property
    def clock(self) -> Clock:
        """Where its time comes from."""
        return self.scheduler.clock

    @property
    def is_here(self) -> bool:
        """Whether the caller is on the thread of this process's loop."""
        return self.scheduler.is_here

    @property
    def name(self) -> str:
        """The unique name it was started with, else what it is."""
        return self._name or type(self).__qualname__

    async def ready(self) -> None:
        """As `Process.ready`."""

    def shutdown(self) -> None:
        """As `Process.shutdown`."""
        raise NotImplementedError

    def kill(self) -> None:
        """As `Process.kill`."""
        raise NotImplementedError

    def child_ended(self, process: BaseProcess, ended: Exit, /) -> None:
        """Deal with the end of a process whose `parent` this is. Called once for each, at once."""

    async def stop(self, limit: ShutdownLimit | None = None) -> None:
        """As `Process.stop`."""
        limit = self.shutdown_limit if limit is None else limit
        try:
            if limit != "brutal_kill":
                self.shutdown()
                if await ended_within(self.clock, self, math.inf if limit == "infinity" else limit):
                    return
            self.kill()
            if not await ended_within(self.clock, self, KILL_WAIT_S):
                self._abandon()
        except asyncio.CancelledError:
            if self.exit is None:  # nobody waits for it any longer, so it must not linger
                self.kill()
            raise

    def _abandon(self) -> None:
        abandon(None, self.name)
        self._end(SHUTDOWN)

    def _end(self, ended: Exit) -> None:
        if self.exit is not None:
            return
        if self._name is not None:
            names.unregister(self._name, self)
        super()._end(ended)
        if self.parent is not None:
            self.parent.child_ended(self, ended)


def ancestors(process: BaseProcess) -> list[str]:
    """Names of the supervisors above it, the nearest first."""
    found = []
    above = process.parent
    while above is not None:
        found.append(above.name)
        above = above.parent
    return found


_last_start = 0.0


def _shared(now: float) -> float:
    """The last start, where that was only just before `now`; else `now`."""
    global _last_start  # noqa: PLW0603 - a cache of one
    if not 0 <= now - _last_start < STARTED_TOGETHER_S:
        _last_start = now
    return _last_start
