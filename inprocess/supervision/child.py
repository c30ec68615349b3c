"""A child of a TaskSupervisor: one piece of work, through all of its attempts.

Each attempt is an asyncio task of its own. An async function runs on the loop; a plain
function runs in a thread (see `threads`), which Python cannot stop.
"""

from __future__ import annotations

import asyncio
import contextvars
import reprlib
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import CodeType
from typing import TYPE_CHECKING, Any

from inprocess.supervision.exits import NORMAL, SHUTDOWN, Exit, Restart, exit_of
from inprocess.supervision.process import Ending, ShutdownLimit, abandon
from inprocess.supervision.restarts import Backoff, RestartIntensity, RestartWindow
from inprocess.supervision.threads import is_async, run_blocking

if TYPE_CHECKING:
    from inprocess.supervision.clock import Timer
    from inprocess.supervision.task_supervisor import TaskSupervisor

#: Characters of one argument that a report shows.
ARGUMENT_CHARACTERS = 80

_shorten = reprlib.Repr()
_shorten.maxother = _shorten.maxstring = ARGUMENT_CHARACTERS


class Retry:
    """What a child asked for beside its restart value: a window and a back-off of its own."""

    __slots__ = ("backoff", "failures", "on_give_up", "started_at", "window")

    def __init__(
        self,
        intensity: RestartIntensity | None,
        backoff: Backoff | None,
        on_give_up: Callable[[Child, BaseException | None], object] | None,
    ) -> None:
        self.window = None if intensity is None else RestartWindow(intensity)
        self.backoff = backoff
        self.on_give_up = on_give_up
        self.failures = 0
        self.started_at = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next attempt, `now` that the last one failed."""
        if self.backoff is None:
            return 0.0
        self.failures = 1 if now - self.started_at > self.backoff.max_s else self.failures + 1
        return self.backoff.delay(self.failures)


class Child(Ending):
    """Handle of one child; `exit` is None until it ended for good. Made by `start_child` only."""

    __slots__ = (
        "_abandoned",
        "_args",
        "_context",
        "_function",
        "_name",
        "_supervisor",
        "_task",
        "_timer",
        "asked",
        "asker",
        "attempt",
        "restart",
        "retry",
        "shutdown_limit",
    )

    def __init__(  # noqa: PLR0917 - made in two places, on the hot path, where a record of options costs
        self,
        supervisor: TaskSupervisor,
        function: Callable[..., object],
        args: tuple[Any, ...],
        name: str | None,
        restart: Restart,
        shutdown_limit: ShutdownLimit,
        retry: Retry | None = None,
        asker: tuple[CodeType, int] | None = None,
    ) -> None:
        self.exit = None  # as Ending does, without the call
        self._monitors = None
        self._supervisor = supervisor
        self._function = function
        self._args = args
        self._name = name
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[object] | None = None
        self._timer: Timer | None = None
        self._abandoned = False
        self.restart = restart
        self.retry = retry
        self.shutdown_limit = shutdown_limit
        self.attempt = 1
        self.asked = False
        self.asker = asker

    @property
    def name(self) -> str:
        """The name given to `start_child`, else the function's."""
        return self._name or str(getattr(self._function, "__qualname__", self._function))

    @property
    def state(self) -> str:
        """waiting, running, backing off, abandoned or ended."""
        if self.exit is not None:
            return "abandoned" if self._abandoned else "ended"
        if self._task is not None:
            return "running"
        return "waiting" if self._timer is None else "backing off"

    @property
    def in_thread(self) -> bool:
        """Whether its function is a plain one, whose thread goes on where the child is stopped."""
        return not is_async(self._function)

    @property
    def asked_for_by(self) -> str | None:
        """Function, file and line of who called `Task.start`; None for a supervisor's children."""
        if self.asker is None:
            return None
        code, line = self.asker
        return f"{code.co_name} at {code.co_filename}:{line}"

    def describe(self) -> str:
        """`name: function(arguments)`, each argument cut to ARGUMENT_CHARACTERS."""
        call = f"{getattr(self._function, '__qualname__', self._function)}"
        return f"{self.name}: {call}({', '.join(map(_shorten.repr, self._args))})"

    def run(self) -> None:
        """Begin the attempt, unless the child was told to end while it waited. Called by the supervisor."""
        self._timer = None
        if self.exit is not None:
            return
        supervisor = self._supervisor
        if self.retry is not None:
            self.retry.started_at = supervisor.clock.monotonic()
        context = self._context.copy()
        context.run(_current.set, self)
        try:
            coroutine = self._coroutine()
        except Exception as error:  # noqa: BLE001 - arguments that do not fit are a crash like any other
            supervisor.exited(self, Exit("crash", error))
            return
        self._task = supervisor.loop.create_task(coroutine, context=context)
        self._task.add_done_callback(self._attempt_ended)

    def run_later(self, seconds: float) -> None:
        """Begin the next attempt after `seconds`; 0 is the next turn of the loop."""
        self.attempt += 1
        self._task = None
        if seconds > 0:
            self._timer = self._supervisor.clock.call_later(seconds, self.run)
        else:
            self._supervisor.loop.call_soon(self.run)

    def ask(self) -> None:
        """Tell it to end: cancel the attempt, or end at once where none is running."""
        self.asked = True
        if self._task is not None:
            self._task.cancel()
        elif self.exit is None:
            self._supervisor.exited(self, SHUTDOWN)

    def finish(self, ended: Exit) -> None:
        """Note the end, and let go of what only an attempt needs."""
        if self._timer is not None:
            self._timer.cancel()
        self._task = self._timer = None
        self._end(ended)

    def abandon(self) -> None:
        """Give up on an attempt that ignores its cancellation."""
        self._abandoned = True
        abandon(self._task, self.describe())
        self._supervisor.exited(self, SHUTDOWN)

    def _coroutine(self) -> Coroutine[Any, Any, object]:
        if is_async(self._function):
            return self._function(*self._args)  # type: ignore[return-value]  # is_async says so
        return run_blocking(self._function, self._args)

    def _attempt_ended(self, task: asyncio.Task[object]) -> None:
        if self.exit is not None:  # abandoned before
            return
        if task.cancelled():
            ended = SHUTDOWN if self.asked else Exit("crash", asyncio.CancelledError())
        else:
            error = task.exception()
            ended = NORMAL if error is None else exit_of(error)
        self._supervisor.exited(self, ended)


_current: ContextVar[Child] = ContextVar("inprocess.current_child")


def current_child() -> Child | None:
    """The child whose work the caller is part of, or None. Works in the child's threads as well."""
    return _current.get(None)


def current_attempt() -> int:
    """Which run of its work the caller is part of: 1 at first, 2 after one restart. 1 outside of a child."""
    child = _current.get(None)
    return 1 if child is None else child.attempt
