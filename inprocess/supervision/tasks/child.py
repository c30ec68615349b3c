"""Child: one piece of work of a TaskSupervisor, through all its attempts.

Each attempt is an asyncio task, in a copy of the context variables of the code that started the child.
An async function runs on the loop. A plain function runs in a thread, which Python cannot stop, unless
`isolation=` says otherwise.

From Python 3.12 on an attempt begins at once (eagerly): work that never waits is done before a task
would have been queued. `asyncio.current_task()`, `asyncio.timeout()` and `current_child()` work from
the first line on. Before 3.12, or if the loop has a task factory, the task begins in the loop's next
turn.

With a telemetry handler attached, an attempt executes `("task", "start")` when it begins and
`("task", "stop")`, or `("task", "exception")` after a crash, when it ends.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, ContextVar
from inspect import CO_COROUTINE
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from inprocess.supervision.core import telemetry
from inprocess.supervision.core.clock import Clock, Timer
from inprocess.supervision.core.exits import ENDS_LOOP, NORMAL, SHUTDOWN, Exit, Restart, exit_of, killed
from inprocess.supervision.core.process import Ending, ShutdownLimit, abandon, raise_soon
from inprocess.supervision.core.redact import function_name, redact_call
from inprocess.supervision.core.restarts import Backoff, RestartIntensity, RestartWindow
from inprocess.supervision.core.scheduler import Scheduler
from inprocess.supervision.core.telemetry import attached
from inprocess.supervision.core.thread_bridge import is_async
from inprocess.supervision.isolation import current_call, isolation
from inprocess.supervision.isolation.around import Around, hooks_for, in_use
from inprocess.supervision.isolation.worker_threads import Job
from inprocess.supervision.tasks.child_options import Options

#: Whether this Python has eager tasks.
EAGER: Final = sys.version_info >= (3, 12)

#: Names in a chain of callers.
MAX_CALLERS: Final = 10

#: Stands for the task of an attempt while its first step runs.
_BEGINNING = cast("asyncio.Task[object]", object())


class ChildOwner(Protocol):
    """The supervisor of a child: a TaskSupervisor."""

    @property
    def name(self) -> str:
        """The name that logs show."""

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler its children live on."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop its children live on."""

    @property
    def clock(self) -> Clock:
        """The clock its children use."""

    @property
    def around(self) -> Around | None:
        """The hook that its children run inside of."""

    def exited(self, child: Child, ended: Exit) -> None:
        """Handle the end of an attempt."""

    def watch_soon(self, child: Child) -> None:
        """Call the child's `watch` after its task has had its first step."""

    def new_task(self, coroutine: Coroutine[Any, Any, object], context: Context) -> asyncio.Task[object]:
        """Create a task that begins in the loop's next turn."""

    def eagerly(self) -> bool:
        """Whether attempts begin at once."""

    def runs_next(self, child: Child) -> bool:
        """Whether its attempt may begin, after a back-off; if not, it waits in the supervisor's line."""

    @property
    def is_suspended(self) -> bool:
        """Whether nothing may begin for now."""

    def holds_back(self, child: Child) -> bool:
        """Whether its restart has to wait; it is then made later."""

    def is_closing(self) -> bool:
        """Whether its loop is closing, so that no attempt may begin; it then ends its children."""

    async def end_child(self, child: Child, limit: ShutdownLimit) -> None:
        """End its child for good, within this limit."""

    async def terminate_child(self, child: Child) -> bool:
        """End a child for good and wait for it; return False if it is another supervisor's."""


class History:
    """State that few children have: a request to end, restarts, a back-off. Created on first use."""

    __slots__ = (
        "abandoned", "asked", "attempt", "began_at", "failures", "job", "reported_at", "timer", "waits_since",
        "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.attempt = 1
        #: When the attempt began, s of the supervisor's clock; set only with a back-off.
        self.began_at = 0.0
        #: When telemetry reported the attempt's start, monotonic s; None without a handler.
        self.reported_at: float | None = None
        #: Since when it waits for a place to run, s of the supervisor's clock; None without a handler.
        self.waits_since: float | None = None
        #: Failures in a row.
        self.failures = 0
        self.asked = self.abandoned = False
        #: What it runs in a thread or process, or waits for one to run.
        self.job: Job | None = None
        self.timer: Timer | None = None
        self.window: RestartWindow | None = None

    def own_window(self, intensity: RestartIntensity) -> RestartWindow:
        """Return the restarts of this child, counted against its own intensity."""
        if self.window is None:
            self.window = RestartWindow(intensity)
        return self.window

    def count_failure(self, backoff: Backoff, now: float) -> int:
        """Count a failure at `now`; return the number of failures in a row."""
        self.failures = 1 if now - self.began_at > backoff.max_s else self.failures + 1
        return self.failures


class Child(Ending):
    """Handle of one child. `exit` is None until it ends for good. Created by `TaskSupervisor.take`."""

    __slots__ = (
        "_callers", "_id", "args", "context", "function", "history", "options", "started_at", "supervisor",
        "task",
    )  # fmt: skip

    # Filled by `TaskSupervisor.take`: a constructor in Python would cost as much as everything else.
    if TYPE_CHECKING:

        def __init__(self) -> None: ...

    else:
        __init__ = object.__init__  # takes no arguments either
    #: Its supervisor.
    supervisor: ChildOwner
    function: Callable[..., object]
    args: tuple[Any, ...]
    #: Its options.
    options: Options
    #: The context variables of the code that started it.
    context: Context
    #: The task of the running attempt; None if none runs.
    task: asyncio.Task[object] | None
    history: History | None
    #: When its first attempt began, s of the supervisor's clock, up to a turn of the loop too early. Not set
    #: before, as the two below are not before they are needed.
    started_at: float
    _id: int
    _callers: tuple[str, ...]

    @property
    def id(self) -> int:
        """A number that no other child of this interpreter has. Any thread."""
        with _numbering:  # not at the start, which most children have behind them before anybody asks
            if not hasattr(self, "_id"):
                self._id = next(_ids)
            return self._id

    @property
    def callers(self) -> tuple[str, ...]:
        """Names of the server or child that started it, of what started that, and so on; the nearest first.

        At most MAX_CALLERS. As Elixir's `$callers`, of servers and children only.
        """
        return getattr(self, "_callers", ())

    @property
    def age(self) -> float | None:
        """Seconds since its first attempt began; None if none has."""
        began: float | None = getattr(self, "started_at", None)
        return None if began is None else self.supervisor.scheduler.monotonic() - began

    def started_by(self, name: str, callers: tuple[str, ...] = ()) -> None:
        """Note what started it, after what is noted already."""
        self._callers = (*self.callers, name, *callers)[:MAX_CALLERS]

    @property
    def name(self) -> str:
        """The name given to `start_child`, else the function's."""
        return self.options.name or function_name(self.function)

    @property
    def restart(self) -> Restart:
        """Permanent, transient or temporary."""
        return self.options.restart

    @property
    def shutdown_limit(self) -> ShutdownLimit:
        """Seconds from the request to end to the kill, "brutal_kill" or "infinity"."""
        return self.options.shutdown

    @property
    def attempt(self) -> int:
        """Number of the current attempt, from 1."""
        return 1 if self.history is None else self.history.attempt

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it lives on."""
        return self.supervisor.loop

    @property
    def asked(self) -> bool:
        """Whether it was asked to end."""
        return self.history is not None and self.history.asked

    @property
    def state(self) -> str:
        """waiting, running, backing off, abandoned or ended."""
        history = self.history
        if self.exit is not None:
            return "abandoned" if history is not None and history.abandoned else "ended"
        if self.task is not None:
            job = None if history is None else history.job
            return "running" if job is None or job.begun else "waiting"
        return "waiting" if history is None or history.timer is None else "backing off"

    @property
    def runs_in(self) -> isolation.Isolation:
        """Where its function runs: "loop", "thread" or "process"."""
        return self.options.isolation or ("loop" if is_async(self.function) else "thread")

    @property
    def asked_for_by(self) -> str | None:
        """Function, file and line that called `Task.start`; None for a supervisor's children."""
        return self.options.asked_for_by

    def describe(self) -> str:
        """Return `name: function(arguments)`, arguments truncated and secrets hidden, see `redact`."""
        return f"{self.name}: {redact_call(self.function, self.args)}"

    def run(self, *, eagerly: bool = False) -> None:
        """Begin an attempt. Called by the supervisor, outside of any task, while no attempt runs."""
        # Hot path: a burst runs it 100,000 times.
        options, context, function = self.options, self.context, self.function
        if _current in context:
            self._started_in(context[_current])
        context.run(_set_current, self)
        if options.restart != "temporary":
            context = context.copy()  # the next attempt must not see what this one sets
        if attached or options.backoff is not None:
            self._note_start()
        self.task = _BEGINNING
        code = getattr(function, "__code__", None)  # as `is_coroutine_function`, without the call
        try:
            if (
                code is not None
                and code.co_flags & CO_COROUTINE
                and options.isolation is None
                and not (in_use and self._hooks())
            ):
                coroutine: Any = function(*self.args)
            else:
                coroutine = self._isolated()
            if eagerly:
                task = _Task(
                    coroutine, loop=self.supervisor.scheduler.loop, context=context, eager_start=True
                )
                if task.done():
                    self._ended_directly(task)
                    return
            else:
                task = self.supervisor.new_task(coroutine, context)
        except BaseException as error:  # noqa: BLE001 - wrong arguments are a crash like any other
            if isinstance(error, ENDS_LOOP):
                raise_soon(error)  # before a restart, which then finds its loop closing
            self.context.run(self._crashed_at_once, error)
        else:
            self._goes_on(task, eagerly=eagerly)

    def watch(self) -> None:
        """Handle the end of the attempt now, or when it comes. Called after the task's first step."""
        task = self.task
        if task is None:
            return
        if task.done():
            self._ended_directly(task)
        else:
            task.add_done_callback(self.attempt_ended, context=self.context)

    def run_later(self, seconds: float) -> None:
        """Begin the next attempt after `seconds`; 0 means in the loop's next turn."""
        history = self.ensure_history()
        history.attempt += 1
        history.job = self.task = None
        scheduler = self.supervisor.scheduler
        if seconds > 0:
            history.timer = scheduler.call_later(seconds, self.run_again)
        else:
            scheduler.soon(self.run_again)

    def ask(self) -> None:
        """Ask it to end: cancel the attempt, or end now if none runs. Loop's thread only."""
        if self.exit is not None:
            return
        self.ensure_history().asked = True
        if self.task is None:
            self.supervisor.exited(self, SHUTDOWN)
        elif self.task is not _BEGINNING:
            self.task.cancel()

    def waits_for(self, job: Job) -> None:
        """Note that it waits for a thread, or a process, until the job has begun."""
        self.ensure_history().job = job

    def finish(self, ended: Exit) -> None:
        """End it, and release what only attempts need."""
        history = self.history
        if history is not None:
            history.job = None
            if history.timer is not None:
                history.timer.cancel()
                history.timer = None
        self.task = None
        self._end(ended)

    def abandon(self) -> None:
        """Give up an attempt that suppresses its cancellation."""
        self._lose()
        if self.task is not None and self.task is not _BEGINNING:
            abandon(self.task, self.describe())
        self.supervisor.exited(self, SHUTDOWN)

    def attempt_ended(self, task: asyncio.Task[object]) -> None:
        """Report the end of an attempt to the supervisor. A callback of the attempt's task."""
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

    def _ended_directly(self, task: asyncio.Task[object]) -> None:
        """Like `attempt_ended`, from the scheduler; in the child's context if that makes a difference."""
        try:
            is_plain = task.exception() is None and self._monitors is None and not attached
        except asyncio.CancelledError:
            is_plain = False
        if not is_plain:
            self.context.run(self.attempt_ended, task)
        elif self.exit is None:  # the hot path
            self.supervisor.exited(self, NORMAL)

    def _isolated(self) -> Coroutine[Any, Any, object]:
        options = self.options
        return isolation.run(
            self.function,
            self.args,
            options.isolation,
            name=self.name,
            attempt=self.attempt,
            shutdown=options.shutdown,
            queued=self.waits_for,
            lost=self._lose,
            hooks=self._hooks() if in_use else (),
        )

    def _started_in(self, starter: Child) -> None:
        if starter is not self:  # as at its first attempt
            self.started_by(starter.name, starter.callers)

    def _hooks(self) -> Sequence[Around]:
        return hooks_for(self.supervisor.around, self.supervisor.scheduler.loop)

    def _note_start(self) -> None:
        if self.options.backoff is not None:
            self.ensure_history().began_at = self.supervisor.scheduler.monotonic()
        if attached:
            self.context.run(self._tell_start)

    def _tell_start(self) -> None:
        """Execute the telemetry event of a start."""
        now = time.monotonic()
        history = self.ensure_history()
        history.reported_at = now
        measurements = {"monotonic_time": now, "system_time": time.time()}
        if history.waits_since is not None:
            measurements["waited"] = self.supervisor.scheduler.monotonic() - history.waits_since
            history.waits_since = None
        telemetry.execute(("task", "start"), measurements, self._metadata())

    def _tell_end(self, ended: Exit) -> None:
        """Execute the telemetry event of an end; no `duration` without a handler at the start."""
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

    def tell_given_up(self, ended: Exit) -> None:
        """Execute the telemetry event of a child whose own window is exceeded."""
        metadata = self._metadata() | {"exit": ended, "error": ended.error}
        telemetry.execute(("task", "given_up"), {"attempts": self.attempt}, metadata)

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
        if history is not None and (self.exit is not None or history.asked):  # ended in its own first step
            task.cancel()
        if eagerly:
            task.add_done_callback(self.attempt_ended, context=self.context)
        else:
            self.supervisor.watch_soon(self)

    def run_again(self) -> None:
        """Begin the next attempt, unless the supervisor holds it back."""
        history, supervisor = self.history, self.supervisor
        has_rested = history is not None and history.timer is not None
        if history is not None:
            history.timer = None
        if self.exit is not None or (supervisor.scheduler.is_closing() and supervisor.is_closing()):
            return
        if has_rested and not supervisor.runs_next(self):
            return
        if not (supervisor.is_suspended and supervisor.holds_back(self)):
            self.run(eagerly=supervisor.eagerly())

    def ensure_history(self) -> History:
        """Return its history, and create it if it has none."""
        if self.history is None:
            self.history = History()
        return self.history

    def _lose(self) -> None:
        self.ensure_history().abandoned = True


_Task: Callable[..., asyncio.Task[object]] = asyncio.Task  # `eager_start` is newer than 3.11
_current: ContextVar[Child] = ContextVar("inprocess.current_child")
_set_current = _current.set
_ids = itertools.count(1)
_numbering = threading.Lock()


def current_child() -> Child | None:
    """Return the child that the caller is part of, or None. Also works in the child's threads."""
    return _current.get(None)


def current_attempt() -> int:
    """Return the number of the current attempt, from 1; 1 outside of a child.

    Also works in the child's threads and in its worker process.
    """
    child = _current.get(None)
    return (current_call.attempt() or 1) if child is None else child.attempt
