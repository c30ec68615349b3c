"""TaskSupervisor: runs functions as children, started one by one at run time.

1. `start_child` queues the child and returns. From its next turn on, the loop starts queued children,
   at most STARTS_PER_TURN a turn and for no longer than the scheduler's slice, so that a burst
   blocks neither its caller nor the loop. This keeps few asyncio tasks alive at once: 100,000 live
   tasks cost more than 100,000 tasks one after the other.
2. A child that ends is restarted or not by its restart value, see `exits`: temporary (default),
   transient or permanent.
3. All children with no other option than `restart=` share one restart window, OTP's 3 in 5 s. When it is
   exceeded, the supervisor logs that, stops the other children and exits with reason shutdown; its parent
   restarts it only if it is permanent. The other children's work is lost: the log names it.
4. A child may wait before its restarts (`backoff=`), and then has a window of its own: RESTARTS_IN_A_ROW.
   Meanwhile it is held in memory, counts as a child, and is lost if the process ends. A restart is
   counted at the crash, not after the wait. This is the way for work that users start.
5. A child may have another window of its own (`intensity=`). Crashes of a child with its own window do not
   count in the shared one; when its own is exceeded, only that child ends, with a crash log, a telemetry
   event and a call of `on_give_up(child, error)`. The price: nothing escalates. If all children fail for
   the same reason, each uses up its own window and nothing restarts what they share.
6. With `max_running=` at most so many attempts run at once. Other children wait in a line, first come,
   first served, and `queue=` is how many may: beyond it a child is refused. A child that backs off runs
   nothing: its place is free for another, and it joins the end of the line when its wait is over. It counts
   as waiting all the while, so `max_running + queue` bounds what is in memory. A restart without a wait
   keeps its place.
7. What it refuses, it logs: the first time, and then the number at most every REFUSALS_S.

Differences from OTP: a child cannot be killed. At its limit its task is cancelled once more; if it
suppresses that too, it is abandoned and reported. Arguments are passed by reference. As in OTP, a
supervisor that is restarted after a give-up has no children.

If attempts cannot begin at once (see `child`), a task has its first step in the turn after it was made,
and the child checks it at the end of that turn: no callback is spent on work that is done in one step.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Sequence
from contextvars import Context, copy_context
from functools import partial
from threading import get_ident
from time import perf_counter
from typing import Any, ClassVar, Final, Self, TypeVar, TypeVarTuple, Unpack, overload

from inprocess.supervision.core.clock import Clock, Timer
from inprocess.supervision.core.errors import LoopGoneError, Refused, TaskRefusedError
from inprocess.supervision.core.exits import NORMAL, SHUTDOWN, Exit, Restart, restarts
from inprocess.supervision.core.loops import ends_with_its_loop
from inprocess.supervision.core.process import KILL_WAIT_S, BaseProcess, ShutdownLimit, ended_within
from inprocess.supervision.core.restarts import (
    MAX_RESTARTS,
    MAX_SECONDS,
    RestartIntensity,
    RestartWindow,
)
from inprocess.supervision.core.scheduler import SLICE_S
from inprocess.supervision.core.serving import Serving, running_server, served_by
from inprocess.supervision.core.telemetry import attached
from inprocess.supervision.core.thread_bridge import across, hop
from inprocess.supervision.isolation.around import Around, check_hook
from inprocess.supervision.isolation.loop_threads import serve_children
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.tasks import child_report
from inprocess.supervision.tasks.async_stream import STREAM_TIMEOUT_S, OnTimeout, Stream, cores
from inprocess.supervision.tasks.async_task import AnsweringChild, AsyncTask, Exited, Ok
from inprocess.supervision.tasks.bounds import Bounds
from inprocess.supervision.tasks.child import EAGER, Child, current_child
from inprocess.supervision.tasks.child_options import (
    PLAIN,
    RESTARTS_IN_A_ROW,
    AsyncOptions,
    ChildOptions,
    Options,
    options_of,
)

#: Children that one turn of the loop starts; the rest of the queue waits for the next turn.
STARTS_PER_TURN: Final = 200
#: Children that are started between two readings of the clock.
STARTS_PER_LOOK: Final = 8

Ts = TypeVarTuple("Ts")
In = TypeVar("In")
T = TypeVar("T")
C = TypeVar("C", bound=Child)


class TaskSupervisor(BaseProcess):
    """Starts and restarts functions; see the module. Created by `start`."""

    __slots__ = (
        "_alarms",
        "_begun",
        "_bounds",
        "_children",
        "_done",
        "_failed",
        "_given_up",
        "_held",
        "_intensity",
        "_is_awake",
        "_is_open",
        "_killing",
        "_line",
        "_refusal",
        "_refusals",
        "_resting",
        "_stopping",
        "_unended",
        "_window",
        "_withdrawn",
        "around",
        "is_suspended",
        "restarts",
    )  # fmt: skip

    shutdown_limit: ClassVar[ShutdownLimit] = "infinity"  # bounded by the children's own limits

    @classmethod
    def start(
        cls,
        *,
        name: str | None = None,
        max_children: float = math.inf,
        max_running: float = math.inf,
        queue: float = math.inf,
        max_restarts: int = MAX_RESTARTS,
        max_seconds: float = MAX_SECONDS,
        around: Around | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Start a supervisor.

        `max_children` bounds its children, `max_running` those that run at once, and `queue` those that
        wait meanwhile; see the module. It lives on the running loop; without one, on the runtime's (see
        `home_loop`). `around` is called for each attempt of a child and returns the context manager that it
        runs in, see `isolation.around`. Raise AlreadyStartedError if the name is taken, ValueError for
        options out of range, and TypeError if `around` is no function.
        """
        bounds = Bounds(max_children, max_running, queue)
        if around is not None:
            check_hook(around)
        intensity = RestartIntensity(max_restarts, max_seconds)
        make = partial(cls._start_here, name, bounds, intensity, around, clock)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return hop(home_loop(), make)
        return make()

    @classmethod
    def _start_here(
        cls,
        name: str | None,
        bounds: Bounds,
        intensity: RestartIntensity,
        around: Around | None,
        clock: Clock | None,
    ) -> Self:
        supervisor = cls(intensity, bounds)
        supervisor.around = around
        supervisor._bind(name, clock)
        supervisor.scheduler.supervisors.add(supervisor)
        serve_children(supervisor.loop, current_child)
        return supervisor

    #: The hook that each child runs inside of.
    around: Around | None

    def __init__(self, intensity: RestartIntensity, bounds: Bounds) -> None:
        super().__init__()
        self._intensity = intensity
        self._window = RestartWindow(intensity)
        self._bounds = bounds
        self._children: dict[Child, None] = {}  # begun and not ended
        self._line: deque[Child] = deque()  # queued, not begun
        self._withdrawn = 0  # of the queue, ended already
        self._resting = 0  # children that back off, where `max_running` bounds the others
        self._begun: deque[Child] = deque()  # their tasks have not had the first step
        self._is_awake = False
        self._refusal: Refused | None = None
        self._refusals = child_report.Refusals()
        self._is_open = bounds.are_none
        self._stopping = self._killing = False
        self._unended = 0  # children that a stop waits for
        self._alarms: list[Timer] = []
        self._held: list[Child] = []  # restarts that `sys.suspend` holds back
        #: Whether `sys.suspend` holds back starts and restarts.
        self.is_suspended = False
        #: Restarts of children since the start.
        self.restarts = 0
        self._done = self._failed = self._given_up = 0

    def start_child(
        self,
        function: Callable[[*Ts], object],
        *args: *Ts,
        restart: Restart = "temporary",
        **options: Unpack[ChildOptions],
    ) -> Child | Refused:
        """Start `function(*args)` under supervision and return its handle at once.

        An async function runs on the supervisor's loop, a plain one in a thread; see `ChildOptions` for
        this and the other options. With `restart=` alone all children share one restart window, whose end
        is the end of all; with `backoff=` too it has a window of its own. Return Refused beyond
        `max_children` or `queue`, while draining and after the end. Raise ValueError for an unknown option
        value, TypeError for an unknown option: pass keyword arguments of the function with
        `functools.partial`. Any thread; another thread waits for the loop's next turn.
        """
        try:
            known = options_of(restart, options) if options else PLAIN[restart]
        except KeyError:
            known = options_of(restart, options)  # says what is wrong
        scheduler = self.scheduler
        if get_ident() != scheduler.runs_on._thread_id:  # noqa: SLF001 - see `Scheduler.is_here`
            return self.atomically(partial(self.take, function, args, known, Child))
        if not self._is_open or scheduler.serving is not None or served_by:
            return self.take(function, args, known, Child)
        child = Child()  # as `take` does; the call would cost a tenth of the total
        child.exit = child._monitors = child.task = child.history = None  # noqa: SLF001 - in place of its constructor
        child.supervisor = self
        child.function = function
        child.args = args
        child.options = known
        child.context = copy_context()
        self._line.append(child)
        if not self._is_awake:
            self._wake()
        return child

    def atomically(self, function: Callable[[], T]) -> T | Refused:
        """Run a short function on the loop's thread, in one turn, and return its result. Any thread.

        Return Refused if the loop does not answer; the function then never runs.
        """
        if self.is_here:
            return function()
        try:
            return hop(self.loop, function)
        except TimeoutError as error:
            refusal = Refused("no_answer", f"{self.name}: {error}; try again when the loop is free")
        except LoopGoneError as gone:
            refusal = Refused("not_running", f"{self.name}: {gone}")
        self._refusals.note(self.name, refusal)
        return refusal

    @overload
    def async_(
        self, function: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts, **options: Unpack[AsyncOptions]
    ) -> AsyncTask[T]: ...

    @overload
    def async_(
        self, function: Callable[[*Ts], T], *args: *Ts, **options: Unpack[AsyncOptions]
    ) -> AsyncTask[T]: ...

    def async_(  # type: ignore[misc]  # mypy takes *args for another kind than *Ts
        self,
        function: Callable[..., Any],
        *args: Any,
        **options: Any,
    ) -> AsyncTask[Any]:
        """Start `function(*args)` as a task linked to the calling server, or asyncio task; await its result.

        See `async_task` for the meaning of the link. Raise TaskRefusedError beyond `max_children` or
        `queue`, while draining and after the end, RuntimeError outside of an asyncio task on the
        supervisor's loop, and ValueError for an unknown option value.
        """
        caller = (running_server() or asyncio.current_task()) if self.is_here else None
        if caller is None:
            raise RuntimeError(
                "async_ links the task to the server or asyncio task that calls it, and none on the "
                "supervisor's loop does: use async_nolink"
            )
        return self._async(function, args, options, caller)

    @overload
    def async_nolink(
        self, function: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts, **options: Unpack[AsyncOptions]
    ) -> AsyncTask[T]: ...

    @overload
    def async_nolink(
        self, function: Callable[[*Ts], T], *args: *Ts, **options: Unpack[AsyncOptions]
    ) -> AsyncTask[T]: ...

    def async_nolink(  # type: ignore[misc]  # mypy takes *args for another kind than *Ts
        self,
        function: Callable[..., Any],
        *args: Any,
        **options: Any,
    ) -> AsyncTask[Any]:
        """Like `async_`, without the link: neither end affects the other. Any thread."""
        return self._async(function, args, options, None)

    def async_stream(
        self,
        function: Callable[[In], object],
        inputs: Iterable[In] | AsyncIterable[In],
        *,
        ordered: bool = True,
        max_concurrency: int | None = None,
        timeout: float = STREAM_TIMEOUT_S,
        on_timeout: OnTimeout = "exit",
        zip_input_on_exit: bool = False,
        **options: Unpack[AsyncOptions],
    ) -> AsyncGenerator[Ok[Any] | Exited, None]:
        """Run `function(input)` for each input, several at a time, and iterate over the outcomes.

        See `async_stream` for the options (`timeout` in seconds) and for the errors raised by the iteration:
        TaskRefusedError, TimeoutError and the error of a crashed task. Loop's thread only.
        """
        return self._stream(
            function, inputs, options, ordered=ordered, max_concurrency=max_concurrency, timeout=timeout,
            on_timeout=on_timeout, zip_input_on_exit=zip_input_on_exit, linked=True,
        )  # fmt: skip

    def async_stream_nolink(
        self,
        function: Callable[[In], object],
        inputs: Iterable[In] | AsyncIterable[In],
        *,
        ordered: bool = True,
        max_concurrency: int | None = None,
        timeout: float = STREAM_TIMEOUT_S,
        on_timeout: OnTimeout = "exit",
        zip_input_on_exit: bool = False,
        **options: Unpack[AsyncOptions],
    ) -> AsyncGenerator[Ok[Any] | Exited, None]:
        """Like `async_stream`; a crashed task has the outcome Exited, and the stream goes on."""
        return self._stream(
            function, inputs, options, ordered=ordered, max_concurrency=max_concurrency, timeout=timeout,
            on_timeout=on_timeout, zip_input_on_exit=zip_input_on_exit, linked=False,
        )  # fmt: skip

    async def terminate_child(self, child: Child) -> bool:
        """End a child for good and wait for it, within its limit; return False if it is not its own."""
        if asyncio.get_running_loop() is not self.loop:
            return await across(self.loop, partial(self.terminate_child, child))
        if child.supervisor is not self or child.exit is not None:
            return False
        await self.end_child(child, child.shutdown_limit)
        return True

    def children(self) -> list[Child]:
        """Return the children that have not ended: waiting, running or backing off, in the order of start."""
        return [child for child in (*self._children, *self._line) if child.exit is None]

    @property
    def count(self) -> int:
        """Number of children that have not ended."""
        return len(self._children) + len(self._line) - self._withdrawn

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of children since the start: started, done, failed, given up by their own window, refused.

        `waiting` is how many wait to run now, those that back off not included.
        """
        ended = self._done + self._failed + self._given_up
        return {
            "started": ended + self.count,
            "done": self._done,
            "failed": self._failed,
            "given_up": self._given_up,
            "refused": self._refusals.count,
            "waiting": len(self._line) - self._withdrawn,
        }

    @property
    def mailbox_depth(self) -> int:
        """Number of children that wait for their first start."""
        return len(self._line) - self._withdrawn

    def suspend(self, *, on: bool) -> None:
        """See `BaseProcess.suspend`. `start_child` returns a child that waits."""
        self.is_suspended = on
        if not on:
            held, self._held = self._held, []
            for child in held:
                child.run_again()
            if self._line and not self._is_awake:
                self._wake()

    def holds_back(self, child: Child) -> bool:
        """Whether a restart has to wait; it is then made at the end of `sys.suspend`. Called by the child."""
        if self.is_suspended:
            self._held.append(child)
        return self.is_suspended

    def system_state(self) -> dict[str, Any]:
        """Its options, and the numbers of its children."""
        return {
            "max_children": self._bounds.max_children,
            "max_running": self._bounds.max_running,
            "queue": self._bounds.queue,
            "max_restarts": self._intensity.max_restarts,
            "max_seconds": self._intensity.max_seconds,
            "restarts": self.restarts,
            **self.counts,
        }

    def quiet(self) -> None:
        """Refuse new children from now on, and stop permanent ones; the others go on, restarts included."""
        if self._refusal is None:
            text = f"{self.name} is draining: the app is shutting down and takes no new work"
            self._refuse(Refused("draining", text))
        for child in self.children():
            if child.restart == "permanent":
                child.ask()

    async def idle(self) -> None:
        """Wait until it has no child but permanent ones."""
        while self.count:
            last = self._line[-1] if self._line else next(reversed(self._children))
            if last.exit is not None or last.restart == "permanent":
                held = self.held()
                if not held:
                    return
                last = held[0]
            await last.wait()

    def held(self) -> Sequence[Child]:
        """Return the children that are work: all but permanent ones, which are loops and never finish."""
        return [child for child in self.children() if child.restart != "permanent"]

    def shutdown(self) -> None:
        """Stop all children at once, each within its own limit, then exit with reason shutdown."""
        self._begin_stop(brutally=False)

    def kill(self) -> None:
        """Like `shutdown`, without waiting for the children's limits."""
        self._begin_stop(brutally=True)

    # For its children and streams.

    def take(
        self,
        function: Callable[..., object],
        args: tuple[Any, ...],
        options: Options,
        kind: type[C],
    ) -> C | Refused:
        """Queue a child, or refuse it. Loop's thread only."""
        is_bounded = not self._is_open
        if is_bounded:
            refused = self._refused()
            if refused is not None:
                return refused
        child = kind()
        child.exit = child._monitors = child.task = child.history = None  # noqa: SLF001 - in place of its constructor
        child.supervisor = self
        child.function = function
        child.args = args
        child.options = options
        child.context = copy_context()
        if is_bounded and attached:
            child.ensure_history().waits_since = self.scheduler.monotonic()
        if (served_by or self.scheduler.serving is not None) and (server := running_server()) is not None:
            child.started_by(server.name)
        self._line.append(child)
        if not self._is_awake:
            self._wake()
        return child

    async def end_child(self, child: Child, limit: ShutdownLimit) -> None:
        """End its child for good, within this limit, in the steps of `process`."""
        child.ask()
        if limit != "brutal_kill":
            if await ended_within(self.clock, child, math.inf if limit == "infinity" else limit):
                return
            child.ask()
        else:
            _ask_twice(child)
        if not await ended_within(self.clock, child, KILL_WAIT_S):
            child.abandon()

    def is_closing(self) -> bool:
        """Whether its loop is being closed. Then no attempt may begin: end the children, and say so."""
        return ends_with_its_loop(self, is_killed=self._killing)

    def exited(self, child: Child, ended: Exit) -> None:
        """Handle the end of an attempt. Called by the child."""
        if ended is NORMAL and child.options.restart != "permanent":  # the hot path
            if self._children.pop(child, child) is not None:
                self._withdrawn += 1
            self._done += 1
            if self._line and not self._is_awake:  # they wait for a place, see `max_running`
                self._wake()
            child.finish(ended)
            return
        if ended.kind == "crash":
            child_report.crashed(self, child, ended)
        if child.asked or not restarts(child.restart, ended):
            self._remove(child, ended)
        else:
            self._restart(child, ended)

    def runs_next(self, child: Child) -> bool:
        """Whether its attempt may begin, after a back-off; if not, it joins the line. Called by the child."""
        if self._bounds.max_running == math.inf:
            return True
        self._resting -= 1
        if not (self._line or self.is_suspended) and self._room() >= 0:  # it is one of those that run by now
            return True
        del self._children[child]
        self._line.append(child)
        if not self._is_awake:
            self._wake()
        return False

    def watch_soon(self, child: Child) -> None:
        """Call the child's `watch` after its task has had its first step. Called by the child."""
        self._begun.append(child)
        if not self._is_awake:
            self._wake()

    def eagerly(self) -> bool:
        """Whether attempts begin at once: this Python has eager tasks and the loop has no task factory."""
        return EAGER and self.scheduler.loop.get_task_factory() is None

    def new_task(self, coroutine: Coroutine[Any, Any, object], context: Context) -> asyncio.Task[object]:
        """Create a task that begins in the loop's next turn."""
        loop = self.scheduler.loop
        if loop.get_task_factory() is None:  # then the loop's create_task does the same, but slowly
            return asyncio.Task(
                coroutine, loop=loop, context=context, name=getattr(coroutine, "__qualname__", None)
            )
        return loop.create_task(coroutine, context=context)

    # Internals.

    def _async(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        options: Any,
        caller: asyncio.Task[Any] | Serving | None,
    ) -> AsyncTask[Any]:
        known = options_of("temporary", options)
        child = self.atomically(partial(self.take, function, args, known, AnsweringChild))
        if isinstance(child, Refused):
            raise TaskRefusedError(child)
        return AsyncTask(child, caller)

    def _stream(
        self,
        function: Callable[[In], object],
        inputs: Iterable[In] | AsyncIterable[In],
        options: AsyncOptions,
        *,
        max_concurrency: int | None,
        **how: Any,
    ) -> AsyncGenerator[Ok[Any] | Exited, None]:
        known = options_of("temporary", options)  # type: ignore[arg-type]  # some of ChildOptions
        at_once = cores() if max_concurrency is None else max_concurrency
        stream = Stream(self, function, known, max_concurrency=at_once, **how)
        return stream.outcomes(inputs)

    def _refuse(self, refusal: Refused) -> None:
        self._refusal = refusal
        self._is_open = False

    def _refused(self) -> Refused | None:
        refusal = self._refusal
        if refusal is None:
            refusal = self._bounds.refusal(self.name, self.count)
            if refusal is None:
                return None
        self._refusals.note(self.name, refusal)
        return refusal

    def _wake(self) -> None:
        self.scheduler.soon(self._step)  # raises if the loop is closed
        self._is_awake = True

    def _step(self) -> None:
        """Check the tasks that began in the last turn; start queued children."""
        begun, self._begun = self._begun, deque()
        try:
            while begun:
                begun.popleft().watch()
            if not self.is_suspended:
                self._start_some()
        finally:  # a monitor that raises must not lose the others
            self._begun += begun
            if self._begun or (self._line and not self.is_suspended and self._room() > 0):
                self.scheduler.soon(self._step)
            else:
                self._is_awake = False

    def _start_some(self) -> None:
        line, children = self._line, self._children
        eagerly, now = self.eagerly(), self.scheduler.monotonic()
        end = perf_counter() + SLICE_S
        most = min(len(line), STARTS_PER_TURN)
        if self._bounds.max_running != math.inf:
            most = min(most, int(self._room()))
        for started in range(1, most + 1):
            child = line.popleft()
            if child.exit is None:
                children[child] = None
                child.started_at = now
                child.run(eagerly=eagerly)
            else:
                self._withdrawn -= 1
            if not started % STARTS_PER_LOOK and perf_counter() > end:
                break

    def _room(self) -> float:
        """How many more children may run now."""
        return self._bounds.max_running - (len(self._children) - self._resting)

    def _restart(self, child: Child, ended: Exit) -> None:
        if self.scheduler.is_closing():
            self._remove(child, ended)
            self.is_closing()
            return
        now = self.scheduler.monotonic()
        history, options = child.ensure_history(), child.options
        own, backoff = options.intensity, options.backoff
        failures = 0 if backoff is None else history.count_failure(backoff, now)
        if own is not None:
            allowed = history.own_window(own).allows(now)
        elif backoff is not None:
            allowed = failures <= RESTARTS_IN_A_ROW
        else:
            allowed = self._window.allows(now)
        if allowed:
            self.restarts += 1
            seconds = 0.0 if backoff is None else backoff.delay(failures)
            child.run_later(seconds)
            if seconds > 0 and self._bounds.max_running != math.inf:
                self._resting += 1
                self._let_next_run()
            return
        given_up = own is not None or backoff is not None
        self._given_up += given_up
        self._failed -= given_up  # counted by `_remove`
        self._remove(child, ended)
        if not given_up:
            child_report.intensity_reached(self, child, self._intensity, self.children())
            self._begin_stop(brutally=False, why="has ended: it reached its restart intensity")
        else:
            child_report.given_up(self, child, ended)

    def _remove(self, child: Child, ended: Exit) -> None:
        if child.exit is None:
            if self._children.pop(child, child) is child:
                self._withdrawn += 1  # it is queued
            elif self._bounds.max_running != math.inf:
                self._resting -= child.state == "backing off"
                self._let_next_run()
            if ended.kind == "normal":
                self._done += 1
            else:
                self._failed += 1
        child.finish(ended)

    def _let_next_run(self) -> None:
        if self._line and not self._is_awake:
            self._wake()

    def _begin_stop(self, *, brutally: bool, why: str = "has ended") -> None:
        """Ask the children to end, last first, and set a timer for each limit.

        No task waits for them, which "cancel every task" at a shut-down would cancel.
        """
        if self._refusal is None or self._refusal.reason != "not_running":
            self._refuse(Refused("not_running", f"{self.name} {why}"))
        if self.exit is not None or self._killing or (self._stopping and not brutally):
            return
        is_first, self._stopping, self._killing = not self._stopping, True, brutally
        children = self.children()[::-1]
        if is_first:
            self._unended = len(children)
            for child in children:
                child.monitor(self._one_ended)
        late: dict[ShutdownLimit, list[Child]] = {}
        for child in children:
            limit = "brutal_kill" if brutally else child.shutdown_limit
            child.ask()
            if limit == "brutal_kill":
                _ask_twice(child)
            if child.exit is None:
                late.setdefault(limit, []).append(child)
        for limit, left in late.items():
            self._set_alarm(limit, left)
        if not self._unended:
            self._end(SHUTDOWN)

    def _set_alarm(self, limit: ShutdownLimit, children: list[Child]) -> None:
        if limit == "brutal_kill":
            self._after(KILL_WAIT_S, partial(_abandon_late, children))
        elif limit not in {"infinity", math.inf}:
            assert isinstance(limit, float | int)  # noqa: S101 - the two words are dealt with
            self._after(limit, partial(self._kill_late, children))

    def _one_ended(self, _ended: Exit) -> None:
        self._unended -= 1
        if not self._unended:
            self._end(SHUTDOWN)

    def _kill_late(self, children: list[Child]) -> None:
        late = [child for child in children if child.exit is None]
        for child in late:
            child.ask()  # twice is the kill, see `isolation.run`
        if late:
            self._after(KILL_WAIT_S, partial(_abandon_late, late))

    def _after(self, seconds: float, callback: Callable[[], object]) -> None:
        self._alarms.append(self.scheduler.call_later(seconds, callback))

    def _end(self, ended: Exit) -> None:
        for alarm in self._alarms:
            alarm.cancel()
        super()._end(ended)


def _ask_twice(child: Child) -> None:
    """Kill a child that was asked to end, if Python can: a task on the loop has had its cancellation."""
    if child.runs_in != "loop":
        child.ask()  # twice is the kill, see `isolation.run`


def _abandon_late(children: list[Child]) -> None:
    for child in children:
        if child.exit is None:
            child.abandon()
