"""A child of a TaskSupervisor: one piece of work, through all of its attempts.

Each attempt is an asyncio task of its own, in a copy of the context variables of who asked for
the work. An async function runs on the loop; a plain one in a thread, which Python cannot stop,
unless `isolation=` says otherwise.

From Python 3.12 on an attempt begins at once (eagerly): work that never waits is over before
its task would have been queued. `asyncio.current_task()`, `asyncio.timeout()` and
`current_child()` work from the first line on all the same. Before 3.12, and where the loop has a
task factory, the task begins in the loop's next turn.

Telemetry, only where a handler is attached: `("task", "start")` as an attempt begins and `("task",
"stop")` or, where it crashed, `("task", "exception")` as it ends.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from inprocess.supervision.core import telemetry
from inprocess.supervision.core.clock import Clock, Timer
from inprocess.supervision.core.exits import NORMAL, SHUTDOWN, Exit, Restart, exit_of, killed
from inprocess.supervision.core.process import Ending, ShutdownLimit, abandon
from inprocess.supervision.core.redact import function_name, redact_call
from inprocess.supervision.core.restarts import Backoff, RestartIntensity, RestartWindow
from inprocess.supervision.core.scheduler import Scheduler
from inprocess.supervision.core.telemetry import attached
from inprocess.supervision.core.thread_bridge import is_async
from inprocess.supervision.isolation import current_call, isolation
from inprocess.supervision.tasks.child_options import Options

#: Whether this Python can begin a task at once.
EAGER: Final = sys.version_info >= (3, 12)

#: Stands for the task of an attempt while its first step runs.
_BEGINNING = cast("asyncio.Task[object]", object())


class ChildOwner(Protocol):
    """Whose child it is, and what it tells and asks: a TaskSupervisor."""

    @property
    def name(self) -> str:
        """What logs call it."""

    @property
    def scheduler(self) -> Scheduler:
        """Where its children live."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of that."""

    @property
    def clock(self) -> Clock:
        """The clock of that."""

    def exited(self, child: Child, ended: Exit) -> None:
        """Deal with the end of an attempt."""

    def watch_soon(self, child: Child) -> None:
        """Have the child look at its task once that had its first step."""

    def new_task(self, coroutine: Coroutine[Any, Any, object], context: Context) -> asyncio.Task[object]:
        """A task that begins in the loop's next turn."""

    def eagerly(self) -> bool:
        """Whether attempts begin at once."""

    async def end_child(self, child: Child, limit: ShutdownLimit) -> None:
        """End a child of its own for good, within this limit."""

    async def terminate_child(self, child: Child) -> bool:
        """End a child for good and wait for it; False where it is another's."""


class History:
    """What most children never have: an end asked for, a restart, a wait before one. Made when needed."""

    __slots__ = ("abandoned", "asked", "attempt", "began_at", "failures", "reported_at", "timer", "window")

    def __init__(self) -> None:
        self.attempt = 1
        #: When the attempt began, s of the supervisor's clock; kept only where it backs off.
        self.began_at = 0.0
        #: When telemetry was told of the attempt's start, monotonic s; None where nobody listened.
        self.reported_at: float | None = None
        #: Failures in a row.
        self.failures = 0
        self.asked = self.abandoned = False
        self.timer: Timer | None = None
        self.window: RestartWindow | None = None

    def own_window(self, intensity: RestartIntensity) -> RestartWindow:
        """The restarts of this child alone, counted against its own intensity."""
        if self.window is None:
            self.window = RestartWindow(intensity)
        return self.window

    def delay(self, backoff: Backoff, now: float) -> float:
        """Count a failure; return the seconds from `now`, when the attempt failed, to the next one."""
        self.failures = 1 if now - self.began_at > backoff.max_s else self.failures + 1
        return backoff.delay(self.failures)


class Child(Ending):
    """Handle of one child; `exit` is None until it ended for good. Made by `TaskSupervisor.take` only."""

    __slots__ = ("args", "context", "function", "history", "options", "supervisor", "task")

    # Filled by `TaskSupervisor.take`: a constructor in Python would cost as much as all the rest.
    if TYPE_CHECKING:

        def __init__(self) -> None: ...

    else:
        __init__ = object.__init__  # which takes no arguments either
    #: Whose child it is.
    supervisor: ChildOwner
    function: Callable[..., object]
    args: tuple[Any, ...]
    #: All that it was asked to be.
    options: Options
    #: The context variables of who asked for it.
    context: Context
    #: The running attempt's, None where none is running.
    task: asyncio.Task[object] | None
    history: History | None

    @property
    def name(self) -> str:
        """The name given to `start_child`, else the function's."""
        return self.options.name or function_name(self.function)

    @property
    def restart(self) -> Restart:
        """permanent, transient or temporary."""
        return self.options.restart

    @property
    def shutdown_limit(self) -> ShutdownLimit:
        """Seconds from being told to end to the kill, "brutal_kill" or "infinity"."""
        return self.options.shutdown

    @property
    def attempt(self) -> int:
        """Which run of its work this is, from 1."""
        return 1 if self.history is None else self.history.attempt

    @property
    def asked(self) -> bool:
        """Whether it was told to end."""
        return self.history is not None and self.history.asked

    @property
    def state(self) -> str:
        """waiting, running, backing off, abandoned or ended."""
        history = self.history
        if self.exit is not None:
            return "abandoned" if history is not None and history.abandoned else "ended"
        if self.task is not None:
            return "running"
        return "waiting" if history is None or history.timer is None else "backing off"

    @property
    def runs_in(self) -> isolation.Isolation:
        """Where its function runs: "loop", "thread" or "process"."""
        return self.options.isolation or ("loop" if is_async(self.function) else "thread")

    @property
    def asked_for_by(self) -> str | None:
        """Function, file and line of who called `Task.start`; None for a supervisor's children."""
        return self.options.asked_for_by

    def describe(self) -> str:
        """`name: function(arguments)`, arguments cut and secrets hidden, see `redact`."""
        return f"{self.name}: {redact_call(self.function, self.args)}"

    def run(self, *, eagerly: bool = False) -> None:
        """Begin an attempt. Called by the supervisor, never in a task, and only where none is running."""
        # The hot path: what is called from here is called 100,000 times in a burst.
        options, context, function = self.options, self.context, self.function
        context.run(_set_current, self)
        if options.restart != "temporary":
            context = context.copy()  # the next attempt must not see what this one sets
        if attached or options.backoff is not None:
            self._note_start()
        self.task = _BEGINNING
        try:
            if options.isolation is None and is_async(function):
                coroutine: Any = function(*self.args)
            else:
                coroutine = self._isolated()
            if eagerly:
                task = _Task(
                    coroutine, loop=self.supervisor.scheduler.loop, context=context, eager_start=True
                )
                if task.done():
                    self.attempt_ended(task)
                    return
            else:
                task = self.supervisor.new_task(coroutine, context)
        except Exception as error:  # noqa: BLE001 - arguments that do not fit are a crash like any other
            self._crashed_at_once(error)
        except BaseException as error:  # noqa: BLE001 - an eager step was interrupted: on to the loop's caller
            self.supervisor.loop.call_soon(_raise, error)
            self._crashed_at_once(error)
        else:
            self._goes_on(task, eagerly=eagerly)

    def watch(self) -> None:
        """Note the end of the attempt when it comes, or now where it has. After its first step."""
        task = self.task
        if task is None:
            return
        if task.done():
            self.attempt_ended(task)
        else:
            task.add_done_callback(self.attempt_ended, context=self.context)

    def run_later(self, seconds: float) -> None:
        """Begin the next attempt after `seconds`; 0 is the next turn of the loop."""
        history = self.ensure_history()
        history.attempt += 1
        self.task = None
        scheduler = self.supervisor.scheduler
        if seconds > 0:
            history.timer = scheduler.call_later(seconds, self._run_again)
        else:
            scheduler.soon(self._run_again)

    def ask(self) -> None:
        """Tell it to end: cancel the attempt, or end at once where none is running. Loop's thread only."""
        if self.exit is not None:
            return
        self.ensure_history().asked = True
        if self.task is None:
            self.supervisor.exited(self, SHUTDOWN)
        elif self.task is not _BEGINNING:
            self.task.cancel()

    def finish(self, ended: Exit) -> None:
        """Note the end, and let go of what only an attempt needs."""
        history = self.history
        if history is not None and history.timer is not None:
            history.timer.cancel()
            history.timer = None
        self.task = None
        self._end(ended)

    def abandon(self) -> None:
        """Give up on an attempt that ignores its cancellation."""
        self._lose()
        if self.task is not None and self.task is not _BEGINNING:
            abandon(self.task, self.describe())
        self.supervisor.exited(self, SHUTDOWN)

    def attempt_ended(self, task: asyncio.Task[object]) -> None:
        """Pass the end of an attempt on to the supervisor. A callback of the attempt's task."""
        if self.exit is not None:  # abandoned before
            return
        try:
            error = task.exception()
        except asyncio.CancelledError:
            ended = SHUTDOWN if self.asked else killed()
        else:
            ended = NORMAL if error is None else exit_of(error)
        if attached:
            self._tell_end(ended)
        self.supervisor.exited(self, ended)

    def _isolated(self) -> Coroutine[Any, Any, object]:
        options = self.options
        return isolation.run(
            self.function,
            self.args,
            options.isolation,
            name=self.name,
            attempt=self.attempt,
            shutdown=options.shutdown,
            lost=self._lose,
        )

    def _note_start(self) -> None:
        if self.options.backoff is not None:
            self.ensure_history().began_at = self.supervisor.scheduler.monotonic()
        if attached:
            self._tell_start()

    def _tell_start(self) -> None:
        """Tell telemetry that an attempt begins."""
        now = time.monotonic()
        self.ensure_history().reported_at = now
        measurements = {"monotonic_time": now, "system_time": time.time()}
        telemetry.execute(("task", "start"), measurements, self._metadata())

    def _tell_end(self, ended: Exit) -> None:
        """Tell telemetry how an attempt ended; one that began while nobody listened has no duration."""
        now = time.monotonic()
        measurements = {"monotonic_time": now}
        history = self.history
        if history is not None and history.reported_at is not None:
            measurements["duration"] = now - history.reported_at
            history.reported_at = None
        metadata = self._metadata() | {"exit": ended}
        if ended.kind == "crash":
            telemetry.execute(("task", "exception"), measurements, metadata | {"error": ended.error})
        else:
            telemetry.execute(("task", "stop"), measurements, metadata)

    def _metadata(self) -> dict[str, Any]:
        return {"name": self.name, "attempt": self.attempt, "child": self, "supervisor": self.supervisor.name}

    def _crashed_at_once(self, error: BaseException) -> None:
        ended = exit_of(error)
        if attached:
            self._tell_end(ended)
        self.task = None
        self.supervisor.exited(self, ended)

    def _goes_on(self, task: asyncio.Task[object], *, eagerly: bool) -> None:
        self.task = task
        history = self.history
        if history is not None and (self.exit is not None or history.asked):  # in its own first step
            task.cancel()
        if eagerly:
            task.add_done_callback(self.attempt_ended, context=self.context)
        else:
            self.supervisor.watch_soon(self)

    def _run_again(self) -> None:
        history = self.ensure_history()
        history.timer = None
        if self.exit is None:
            self.run(eagerly=self.supervisor.eagerly())

    def ensure_history(self) -> History:
        """Its history, made where it has none."""
        if self.history is None:
            self.history = History()
        return self.history

    def _lose(self) -> None:
        self.ensure_history().abandoned = True


def _raise(error: BaseException) -> None:
    raise error


_Task: Callable[..., asyncio.Task[object]] = asyncio.Task  # whose `eager_start` is newer than 3.11
_current: ContextVar[Child] = ContextVar("inprocess.current_child")
_set_current = _current.set


def current_child() -> Child | None:
    """The child whose work the caller is part of, or None. Works in the child's threads as well."""
    return _current.get(None)


def current_attempt() -> int:
    """Which run of its work the caller is part of: 1 at first, 2 after one restart. 1 outside of a child.

    Works in the child's threads and in its worker process as well.
    """
    child = _current.get(None)
    return (current_call.attempt() or 1) if child is None else child.attempt
