"""Process: what every process of a tree has in common. It starts, ends once with an Exit, and can be stopped.

A process lives on one event loop. It is stopped in three steps:

1. `shutdown` asks it to end: it finishes the current message and cleans up.
2. After its time limit `kill` cancels its task, without clean-up.
3. Python cannot kill a thread, nor a task that suppresses its cancellation. After KILL_WAIT_S such a
   process is abandoned: it is reported by name, and nothing waits for it any longer.
"""

from __future__ import annotations

import asyncio
import dis
import math
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, Self, TypeVar, cast

from inprocess.supervision.core import names
from inprocess.supervision.core.clock import Clock, LoopClock, settle
from inprocess.supervision.core.errors import CallTimeoutError, LoopGoneError, ServerDiedError
from inprocess.supervision.core.exits import ENDS_LOOP, SHUTDOWN, Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.loops import is_being_closed
from inprocess.supervision.core.redact import redact
from inprocess.supervision.core.scheduler import Scheduler, scheduler_of
from inprocess.supervision.core.thread_bridge import across, wait_on

ShutdownLimit = float | Literal["brutal_kill", "infinity"]

#: What a ShutdownLimit may be, for messages.
LIMITS: Final = "expected seconds of at least 0, 'brutal_kill' or 'infinity'"

#: Seconds that a worker has to end after it was asked to. OTP's default.
SHUTDOWN_S = 5.0
#: Seconds that a cancelled task has to end before it is abandoned.
KILL_WAIT_S = 0.5

T = TypeVar("T")

#: Processes started within this time, s, share one `started_at`, to save a number for each.
STARTED_TOGETHER_S = 0.001


def is_limit(value: object) -> bool:
    """Whether the value is a ShutdownLimit."""
    if isinstance(value, str):
        return value in {"brutal_kill", "infinity"}
    return isinstance(value, int | float) and value >= 0


def check_limit(value: object) -> None:
    """Raise ValueError unless the value is a ShutdownLimit or None."""
    if value is not None and not is_limit(value):
        raise ValueError(f"the limit is {value!r}: {LIMITS}")


class Held(Protocol):
    """A piece of work that exists only in memory."""

    @property
    def name(self) -> str:
        """The name that reports show."""

    @property
    def state(self) -> str:
        """waiting, running, backing off, abandoned or ended."""

    @property
    def attempt(self) -> int:
        """Number of the current attempt, from 1."""

    def describe(self) -> str:
        """Return its name and arguments, truncated to one line."""


class Ending:
    """Something that ends once. `exit` is None until then."""

    __slots__ = ("_monitors", "exit")

    def __init__(self) -> None:
        self.exit: Exit | None = None
        self._monitors: list[Callable[[Exit], object]] | None = None

    def monitor(self, callback: Callable[[Exit], object]) -> None:
        """Call `callback` with the exit at the end, or now if it has ended. Loop's thread only."""
        if self.exit is not None:
            callback(self.exit)
        elif self._monitors is None:
            self._monitors = [callback]
        else:
            self._monitors.append(callback)

    def demonitor(self, callback: Callable[[Exit], object]) -> bool:
        """Do not call `callback` at the end; return False if it is not monitored. Loop's thread only."""
        monitors = self._monitors
        if monitors is None or callback not in monitors:
            return False
        monitors.remove(callback)
        return True

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it lives on."""
        raise NotImplementedError

    async def wait(self) -> Exit:
        """Wait for the end and return the exit. Any loop. Has no time limit: see `ended_within`.

        Raise LoopGoneError if its loop does not run, or ends before it.
        """
        if self.exit is None and asyncio.get_running_loop() is not self.loop:
            return await across(self.loop, self.wait)
        if self.exit is None:
            ended = asyncio.get_running_loop().create_future()
            end = partial(_settle, ended)
            self.monitor(end)
            try:
                await ended
            finally:
                self.demonitor(end)
        assert self.exit is not None  # noqa: S101 - tells the type checker what `wait` ensures
        return self.exit

    def _end(self, ended: Exit) -> None:
        if self.exit is not None:
            return
        self.exit = ended
        monitors, self._monitors = self._monitors, None
        if monitors is not None:
            self._tell_monitors(monitors, ended)

    def _tell_monitors(self, monitors: list[Callable[[Exit], object]], ended: Exit) -> None:
        """Call each of them, whatever the others raise."""
        ends_loop: BaseException | None = None
        for callback in monitors:
            try:
                callback(ended)
            except BaseException as error:  # noqa: BLE001 - a monitor must not hide the end from the others
                log.exception("the monitor %s failed", redact(callback))
                if isinstance(error, ENDS_LOOP):
                    ends_loop = error
        if ends_loop is not None:
            raise_soon(ends_loop)


async def ended_within(clock: Clock, ending: Ending, seconds: float) -> bool:
    """Wait for the end, at most `seconds`; return whether it came."""
    if ending.exit is None:
        woken = asyncio.get_running_loop().create_future()
        end = partial(_settle, woken)
        ending.monitor(end)
        timer = None if seconds == math.inf else clock.call_later(seconds, end)
        try:
            await woken
        finally:
            ending.demonitor(end)
            if timer is not None:
                timer.cancel()
    return ending.exit is not None


def _settle(future: asyncio.Future[None], _exit: Exit | None = None) -> None:
    settle(future)


def raise_soon(error: BaseException) -> None:
    """Raise it out of the running loop in its next turn, since the work of this turn must be finished.

    Not while the loop is being closed: that would cut the clean-up of all that is left on it.
    """
    loop = asyncio._get_running_loop()  # noqa: SLF001 - documented under this name
    if loop is not None:
        loop.call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    if not is_being_closed():
        raise error


def abandon(task: asyncio.Task[object] | None, what: str) -> None:
    """Stop waiting for a task that does not end: report it, and let the loop close without it."""
    log.error("%s ignored its cancellation and was abandoned; it may still be running", what)
    if task is not None:
        # asyncio.run waits without limit for every task that it knows. This call is documented for
        # authors of task classes ("Extending" in asyncio's manual).
        asyncio._unregister_task(task)  # noqa: SLF001 - documented under this name


class ProcessAttribute:
    """An attribute that is read from `__process__`, unless the object has its own by this name.

    So a subclass of GenServer may use the name for its own state.
    """

    __slots__ = ("_name",)

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, process: Process | None, _owner: type) -> Any:
        return self if process is None else getattr(process.__process__, self._name)


class Process:
    """A process as its users see it. `async with` waits for the start and stops it at the end.

    `__process__` is the object that the runtime works with. It is the process itself, except for a
    GenServer, whose own attributes belong to its author.
    """

    __slots__ = ()

    #: How long a supervisor waits for this kind of process, unless the child spec has a `shutdown`.
    shutdown_limit: ClassVar[ShutdownLimit] = SHUTDOWN_S

    if TYPE_CHECKING:

        @property
        def exit(self) -> Exit | None:
            """How it ended; None until then."""

        @property
        def name(self) -> str:
            """The unique name it was started with, else the name of its class."""

        @property
        def parent(self) -> BaseProcess | None:
            """The supervisor that started it; None if there is none."""

        @property
        def scheduler(self) -> Scheduler:
            """The scheduler it lives on."""

        @property
        def started_at(self) -> float:
            """When it was started, `scheduler.monotonic` seconds; up to STARTED_TOGETHER_S too early."""

        @property
        def loop(self) -> asyncio.AbstractEventLoop:
            """The event loop it lives on."""

        @property
        def clock(self) -> Clock:
            """The clock it uses."""

        @property
        def is_here(self) -> bool:
            """Whether the caller is on the thread of its loop."""

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
        """The object that the runtime works with."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Wait until it is initialised; raise StartError if that failed."""
        await self.__process__.ready()

    def monitor(self, callback: Callable[[Exit], object]) -> None:
        """Call `callback` with the exit at the end, or now if it has ended. Loop's thread only."""
        self.__process__.monitor(callback)

    def demonitor(self, callback: Callable[[Exit], object]) -> bool:
        """Do not call `callback` at the end; return False if it is not monitored. Loop's thread only."""
        return self.__process__.demonitor(callback)

    async def wait(self) -> Exit:
        """Wait for the end and return the exit. Any loop. Has no time limit.

        Raise LoopGoneError if its loop does not run, or ends before it.
        """
        return await self.__process__.wait()

    def shutdown(self) -> None:
        """Ask it to end. Loop's thread only."""
        self.__process__.shutdown()

    def kill(self) -> None:
        """End it without clean-up, as far as Python can. Loop's thread only."""
        self.__process__.kill()

    async def stop(self, limit: ShutdownLimit | None = None) -> None:
        """End it in the steps of this module; `limit` is `shutdown_limit` by default. Any loop.

        If this call is cancelled, the process is killed at once. Raise ValueError for a limit that is none,
        and LoopGoneError if its loop does not run, unless that is closed.
        """
        await self.__process__.stop(limit)

    def quiet(self) -> None:
        """Accept no new work from now on; accepted work goes on. Loop's thread only."""

    async def idle(self) -> None:
        """Wait until it holds no work."""

    def held(self) -> Sequence[Held]:
        """Return the work that it and its children have accepted and not finished."""
        return ()

    async def __aenter__(self) -> Self:
        try:
            await type(self).ready(self)  # from the class: the instance attribute may be the author's
        except asyncio.CancelledError:
            await type(self).stop(self)
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await type(self).stop(self)


class BaseProcess(Ending, Process):
    """Base of every process that the runtime works with: message loops, supervisors, periodic servers."""

    __slots__ = ("__weakref__", "_name", "parent", "scheduler", "started_at")

    _name: str | None
    parent: BaseProcess | None
    scheduler: Scheduler
    started_at: float

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.__module__.startswith(_PACKAGE):
            _check_own_names(cls)

    def _bind(self, name: str | None, clock: Clock | None) -> None:
        """Start to live on the running loop, as `name`; raise AlreadyStartedError if the name is taken."""
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
        """The object that users hold: itself, or the GenServer of a message loop."""
        return self

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it lives on."""
        return self.scheduler.loop

    @property
    def clock(self) -> Clock:
        """The clock it uses."""
        return self.scheduler.clock

    @property
    def is_here(self) -> bool:
        """Whether the caller is on the thread of its loop."""
        return self.scheduler.is_here

    @property
    def name(self) -> str:
        """The unique name it was started with, else the name of its class."""
        return self._name or type(self).__qualname__

    async def ready(self) -> None:
        """See `Process.ready`."""

    def shutdown(self) -> None:
        """See `Process.shutdown`."""
        raise NotImplementedError

    def kill(self) -> None:
        """See `Process.kill`."""
        raise NotImplementedError

    def child_ended(self, process: BaseProcess, ended: Exit, /) -> None:
        """Handle the end of a process whose `parent` this is. Called once for each, at once."""

    # For `sys`.

    @property
    def mailbox_depth(self) -> int:
        """Number of messages, or requests, that wait."""
        return 0

    def suspend(self, *, on: bool) -> None:
        """Handle nothing but requests to end until this is called again with `on=False`."""
        del on
        raise self._not_for_sys()

    def system_state(self) -> dict[str, Any]:
        """Return what `sys.get_state` shows."""
        raise self._not_for_sys()

    def _not_for_sys(self) -> TypeError:
        return TypeError(f"{self.name} is a {type(self.handle).__name__}: sys is for servers and supervisors")

    async def call_system(self, function: Callable[[Any], T], timeout: float) -> T:  # noqa: ASYNC109 - as GenServer.call
        """Call `function(process)` on its loop and return the result, for `sys`.

        Raise what the function raises, which does not affect the process; otherwise as `GenServer.call`.
        """
        if asyncio.get_running_loop() is not self.loop:
            return cast("T", await self.on_its_loop(partial(self.call_system, function, timeout), timeout))
        if self.exit is not None:
            raise ServerDiedError(f"{self.name} is not running: it ended with {self.exit}")
        return function(self.handle)

    # Calls from elsewhere.

    async def on_its_loop(
        self,
        call: Callable[[], Coroutine[Any, Any, T]],
        timeout: float | None = None,  # noqa: ASYNC109 - as GenServer.call
    ) -> T:
        """Await a call on its loop, from another loop.

        Raise ServerDiedError if that does not run, and CallTimeoutError after `timeout` seconds.
        """
        try:
            return await across(self.loop, call, self._real_seconds(timeout))
        except LoopGoneError as gone:
            raise ServerDiedError(f"{self.name} is not running: {gone}") from None
        except TimeoutError as error:
            raise self._timed_out(error, timeout) from None

    def from_thread(self, call: Callable[[], Coroutine[Any, Any, T]], timeout: float | None) -> T:
        """Like `on_its_loop`, from a thread without a loop."""
        seconds = self._real_seconds(timeout)
        try:
            return cast("T", wait_on(self.loop, call, None if seconds == math.inf else seconds))
        except LoopGoneError as gone:
            raise ServerDiedError(f"{self.name} is not running: {gone}") from None
        except TimeoutError as error:
            raise self._timed_out(error, timeout) from None

    def _real_seconds(self, timeout: float | None) -> float:
        """Return the timeout of a caller that waits elsewhere; none if the process has a clock of a test."""
        return math.inf if timeout is None or not isinstance(self.clock, LoopClock) else timeout

    def _timed_out(self, error: TimeoutError, timeout: float | None) -> TimeoutError:
        if isinstance(error, CallTimeoutError) or timeout is None:  # the latter is an error of the call's own
            return error
        return CallTimeoutError(f"{self.name} did not reply within {timeout:g} s")

    async def stop(self, limit: ShutdownLimit | None = None) -> None:
        """See `Process.stop`."""
        limit = self.shutdown_limit if limit is None else limit
        check_limit(limit)
        if asyncio.get_running_loop() is not self.loop:
            if not self.loop.is_closed():  # else nothing of it runs any more
                await across(self.loop, partial(self.stop, limit))
            return
        try:
            if limit != "brutal_kill":
                self.shutdown()
                if await ended_within(self.clock, self, math.inf if limit == "infinity" else limit):
                    return
            self.kill()
            if not await ended_within(self.clock, self, KILL_WAIT_S):
                self._abandon()
        except asyncio.CancelledError:
            if self.exit is None:  # nothing waits for it any longer, so it must not linger
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
    """Return the names of the supervisors above it, nearest first."""
    found = []
    above = process.parent
    while above is not None:
        found.append(above.name)
        above = above.parent
    return found


#: Whose classes may use the private names of the runtime.
_PACKAGE: Final = f"{__name__.partition('.')[0]}."


def _check_own_names(cls: type[BaseProcess]) -> None:
    """Raise TypeError if a user's subclass takes a name of the runtime's own.

    Such a name is a private one in the body of the class, or any one of ours that a method assigns to `self`:
    the runtime would read the value in place of its own. A GenServer has its names for itself.
    """
    ours = {
        name: base
        for base in reversed(cls.__mro__)
        if base.__module__.startswith(_PACKAGE)
        for name in vars(base)
        if not name.startswith("__")
    }
    taken = [name for name in vars(cls) if name.startswith("_") and name in ours]
    taken += [name for made in vars(cls).values() for name in _assigned_to_self(made) if name in ours]
    if taken:
        name = taken[0]
        raise TypeError(
            f"{cls.__qualname__} uses the name {name!r}, which is the runtime's own (of "
            f"{ours[name].__qualname__}): choose another, or keep the state in a GenServer, whose names are "
            "the author's"
        )


def _assigned_to_self(made: object) -> Iterator[str]:
    """Yield the names that a method assigns to its first argument."""
    function = getattr(made, "__func__", made)
    code = getattr(function, "__code__", None)
    if code is None or not code.co_argcount:
        return
    first = code.co_varnames[0]
    before: dis.Instruction | None = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_ATTR" and before is not None and "LOAD_FAST" in before.opname:
            loaded = before.argval  # a pair where one instruction loads two
            if first in (loaded[-1:] if isinstance(loaded, tuple) else (loaded,)):
                yield instruction.argval
        before = instruction


_last_start = 0.0


def _shared(now: float) -> float:
    """Return the last start time if it was just before `now`, else `now`."""
    global _last_start  # noqa: PLW0603 - a cache of one
    if not 0 <= now - _last_start < STARTED_TOGETHER_S:
        _last_start = now
    return _last_start
