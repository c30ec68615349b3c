"""BaseSupervisor: the life of a process with children, whatever their kind and order.

1. Begin: `_begin` runs at once, up to its first wait; `ready` waits for the rest.
2. Work: it has at most one task, and only while it has to wait.
3. End: `_wanted` is the exit. A start that hangs is interrupted, and children are stopped in the
   subclass's way; then the name is freed, and waiting callers get their answer.
4. Kill: all children are killed in reverse order. Those that have not ended after KILL_WAIT_S are
   abandoned, by a timer, so that a whole tree of supervisors ends in that time.

However it ends, every caller that waits is answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Self, TypeVar, cast

from inprocess.supervision.core.clock import Clock, Timer, settle
from inprocess.supervision.core.contexts import Origin, origin
from inprocess.supervision.core.eager import run_eagerly
from inprocess.supervision.core.errors import ServerDiedError, StartError
from inprocess.supervision.core.exits import ENDS_LOOP, SHUTDOWN, Exit, Ignore, killed
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import KILL_WAIT_S, BaseProcess, Held, ShutdownLimit
from inprocess.supervision.core.redact import repr_of, text_of
from inprocess.supervision.core.restarts import RestartIntensity, RestartWindow
from inprocess.supervision.core.thread_bridge import look, wait_on
from inprocess.supervision.lifecycle.drain import REPORTED_WORK
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.supervisors.child_spec import ChildSpec

#: Supervisors that start, or are killed, inside of each other in one call; those below wait for a turn of the
#: loop each, so that no depth exceeds Python's limit on recursion.
MAX_DEPTH: Final = 20

_depth = 0

T = TypeVar("T")
P = TypeVar("P", bound="BaseSupervisor")


class BaseSupervisor(BaseProcess):
    """Base class of supervisors; see the module. Create one with `start`."""

    __slots__ = (
        "_intensity", "_is_awake", "_is_quiet", "_is_ready", "_kill_alarm", "_killing", "_origin",
        "_readying", "_start_error", "_stopping", "_task", "_waiting", "_wanted", "_window", "is_suspended",
        "restarts",
    )  # fmt: skip

    #: Bounded by the children's own limits.
    shutdown_limit: ClassVar[ShutdownLimit] = "infinity"

    def __init__(self, intensity: RestartIntensity) -> None:
        super().__init__()
        self._intensity = intensity
        self._window = RestartWindow(intensity)
        #: Restarts since its start, failed ones included.
        self.restarts = 0
        self._is_awake = self._is_ready = self._is_quiet = self._stopping = self._killing = False
        #: Whether `sys.suspend` holds back requests and restarts.
        self.is_suspended = False
        self._start_error: StartError | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted: Exit | None = None
        self._readying: list[asyncio.Future[None]] = []
        self._waiting: set[asyncio.Future[Any]] = set()
        self._kill_alarm: Timer | None = None
        #: The context that it was started from.
        self._origin = origin()

    def _processes(self) -> Sequence[BaseProcess]:
        """Return the children that have not ended, in the order of their start."""
        raise NotImplementedError

    def _is_empty(self) -> bool:
        """Whether there are none of them."""
        raise NotImplementedError

    async def _begin(self) -> None:
        """Start the first children, then call `_became_ready`; or set `_wanted`."""
        raise NotImplementedError

    def _stop_children(self) -> None:
        """Stop all children, then end as `_wanted`. Called once, while no task runs."""
        raise NotImplementedError

    def _next(self) -> None:
        """Do what is next, unless it is to end. Called while no task runs."""

    def _interrupt(self) -> None:
        """Make the task end if it waits for a child to start."""

    @classmethod
    def _launch(cls, make: Callable[[], Self], name: str | None, clock: Clock | None) -> Self:
        """Create and begin one on the running loop; without one, on the runtime's, and wait for it."""
        start = partial(_start, make, name, clock)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return cast("Self", wait_on(home_loop(), partial(_start_and_wait, start)))
        return start()

    async def ready(self) -> None:
        """Wait until the first children have started; raise StartError if that failed."""
        if not self._is_ready and self.exit is None:
            readying = self.loop.create_future()
            self._readying.append(readying)
            await readying
        if not self._is_ready:
            raise self._start_error or StartError(f"{self.name} was stopped before it had started")

    def shutdown(self) -> None:
        """End with reason shutdown. Finish a stop that is under way; interrupt a start."""
        self._finish(SHUTDOWN)

    def kill(self) -> None:
        """Kill the children too, last first. End when they have ended, after at most KILL_WAIT_S."""
        if self.exit is not None or self._killing:
            return
        self._killing = True
        self._refuse_waiting()
        if self._task is not None:
            self._task.cancel()
        global _depth  # noqa: PLW0603 - of the calls that are running
        _depth += 1
        try:
            for process in reversed(self._processes()):
                if _depth > MAX_DEPTH:
                    self.scheduler.soon(process.kill)
                else:
                    process.kill()
        finally:
            _depth -= 1
        if self._is_empty():
            self._end_killed()
        elif self.exit is None:
            self._kill_alarm = self.scheduler.call_later(KILL_WAIT_S, self._abandon_children)

    def _end_killed(self) -> None:
        """End now, or in the loop's next turn if this is the end of a long row of supervisors."""
        global _depth  # noqa: PLW0603 - of the calls that are running
        if _depth > MAX_DEPTH:
            self.scheduler.soon(partial(self._end, killed()))
            return
        _depth += 1
        try:
            self._end(killed())
        finally:
            _depth -= 1

    def quiet(self) -> None:
        """Pass it on to every child, later ones included."""
        self._is_quiet = True
        for process in self._processes():
            process.quiet()

    async def idle(self) -> None:
        """Wait until no child holds work."""
        while any(process.held() for process in self._processes()):
            await asyncio.gather(*(process.idle() for process in self._processes()))

    def held(self) -> Sequence[Held]:
        """Return the work that the children hold."""
        work: list[Held] = []
        left = deque(self._processes())
        while left:  # not by recursion: supervisors may be nested deeply
            process = left.popleft()
            if isinstance(process, BaseSupervisor):
                left.extendleft(reversed(process._processes()))  # noqa: SLF001 - of its own class
            else:
                work += process.held()
        return work

    def suspend(self, *, on: bool) -> None:
        """See `BaseProcess.suspend`."""
        self.is_suspended = on
        if not on:
            self._wake()

    def system_state(self) -> dict[str, Any]:
        """Its options, and its children by id."""
        return {
            "max_restarts": self._intensity.max_restarts,
            "max_seconds": self._intensity.max_seconds,
            "restarts": self.restarts,
        }

    async def _start_process(
        self,
        spec: ChildSpec,
        arguments: tuple[Any, ...],
        asked_from: Origin,
        made: Callable[[BaseProcess], object],
    ) -> BaseProcess | None:
        """Start a child and wait until it is ready. Return None if it is ignored; raise StartError.

        Its start function is called in the context of who asked for the child, at each restart too. `made` is
        called with the process before the wait, so that an interrupted start can be undone.
        """
        try:
            process = asked_from.context.copy().run(_started, spec, arguments)
            if process is None:
                return None
            process.parent = self
            made(process)
            await process.ready()
        except asyncio.CancelledError:  # this start was interrupted
            raise
        except BaseException as error:
            if isinstance(error, Ignore) or isinstance(error.__cause__, Ignore):
                return None
            text = f"{self.name}: child {spec.id!r} could not start: {text_of(error)}"
            raise StartError(text) from error
        if self._is_quiet:
            process.quiet()
        return process

    def _here(self, function: Callable[[], T]) -> T:
        """Call it on the loop's thread and return its result. Any thread; errors as of `hop`."""
        return look(self.loop, function)

    def _begin_now(self) -> None:
        """Begin, unless it was asked to end before."""
        if self._wanted is None and not self._killing and self.exit is None:
            self._run(self._begin())

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as the supervisor's one task, and go on when it is done."""
        try:
            self._task = run_eagerly(coroutine, self.loop)
        except BaseException as error:
            if isinstance(error, ENDS_LOOP):  # of a child's start, which has been recorded
                self._wake()
                raise
            self._crashed(error)  # a fault of the runtime or of a child's class
        if self._task is None:
            if self._wanted is not None:
                self._wake()
            return
        self._task.add_done_callback(self._task_ended)
        if self._killing:
            self._task.cancel()
        elif self._wanted is not None:
            self._interrupt()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            if self._wanted is None or self._stopping:  # by other code: the operation cannot be continued
                self.kill()
        elif (error := task.exception()) is not None:
            self._crashed(error)
        self._go_on()

    def _crashed(self, error: BaseException) -> None:
        log.error("%s crashed: %s", self.name, repr_of(error), exc_info=error)
        self._wanted = Exit("crash", error)
        if self._stopping:
            self.kill()

    def _wake(self) -> None:
        """Go on in the loop's next turn."""
        if not self._is_awake:
            self._is_awake = True
            self.scheduler.soon(self._go_on)

    def _go_on(self) -> None:
        self._is_awake = False
        if self._task is not None or self._stopping or self._killing or self.exit is not None:
            return
        if self._wanted is None:
            if not self.is_suspended:
                self._next()
            return
        self._stopping = True
        self._refuse_waiting()
        self._stop_children()

    def _finish(self, ended: Exit) -> None:
        """End with this exit, unless it is ending already."""
        if self._wanted is None and not self._killing and self.exit is None:
            self._wanted = ended
            if self._task is None:
                self._wake()
            else:
                self._interrupt()

    def _give_up(self, child_id: str) -> None:
        log.error(
            "%s reached its restart intensity, more than %d restarts in %g s, with child %r: "
            "it stops its other children and exits%s",
            self.name,
            self._intensity.max_restarts,
            self._intensity.max_seconds,
            child_id,
            _named(self._processes()),
        )
        self._finish(SHUTDOWN)

    def _became_ready(self) -> None:
        self._is_ready = True
        for readying in self._readying:
            settle(readying)

    def _refuse_waiting(self) -> None:
        """Fail the requests that will not be done any more."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(ServerDiedError(f"{self.name} ended before it did what it was asked"))

    def _abandon_children(self) -> None:
        for process in self._processes():
            process._abandon()  # noqa: SLF001 - a process is reported by its parent
        self._end(killed())

    def _abandon(self) -> None:
        self._killing = True
        self._abandon_children()

    def _end(self, ended: Exit) -> None:
        if self._kill_alarm is not None:
            self._kill_alarm.cancel()
        super()._end(ended)
        self._refuse_waiting()
        for readying in self._readying:
            settle(readying)


def _named(processes: Sequence[BaseProcess]) -> str:
    """Name processes that are dropped, for a log."""
    names = [process.name for process in processes]
    if not names:
        return ""
    more = f" and {len(names) - REPORTED_WORK} more" if len(names) > REPORTED_WORK else ""
    return f": {', '.join(names[:REPORTED_WORK])}{more}"


def _started(spec: ChildSpec, arguments: tuple[Any, ...]) -> BaseProcess | None:
    """Call the spec's start function. A cancellation that it raises itself is an error like any other."""
    try:
        started = spec.start(*arguments)
    except asyncio.CancelledError as error:
        raise StartError(f"its start function raised {repr_of(error)}") from error
    return None if started is None else started.__process__


def raise_if_it_ends_loop(error: StartError) -> None:
    """Raise what made the start fail if that ends the loop, see `exits`."""
    if isinstance(error.__cause__, ENDS_LOOP):
        raise error.__cause__


def _start(make: Callable[[], P], name: str | None, clock: Clock | None) -> P:
    parent = make()
    parent._bind(name, clock)  # noqa: SLF001 - the other half of `_launch`
    parent.scheduler.supervisors.add(parent)
    global _depth  # noqa: PLW0603 - of the calls that are running
    if _depth >= MAX_DEPTH:
        parent.scheduler.soon(parent._begin_now)  # noqa: SLF001 - as above
        return parent
    _depth += 1
    try:
        parent._run(parent._begin())  # noqa: SLF001 - as above
    finally:
        _depth -= 1
    return parent


async def _start_and_wait(start: Callable[[], P]) -> P:
    parent = start()
    await parent.ready()
    return parent
