"""TaskSupervisor: children that are started at run time, one by one, each a function to run.

1. `start_child` puts the child in a line and returns; the loop starts the line's children from
   its next turn on, STARTS_PER_TURN at most and for no longer than the scheduler's slice, so
   that a burst neither blocks its caller nor the loop.
2. A child that ends is dealt with as `exits` says, by its restart value: temporary (default),
   transient or permanent.
3. All children share one restart window, OTP's 3 in 5 s. When it runs out, the supervisor logs
   that, stops the other children and exits with reason shutdown; its parent restarts it only
   if it is permanent. The other children's work is lost with it.
4. A child may have a window of its own (`intensity=`): then its crashes do not count in the
   shared window, and when its own runs out only that child ends, with a crash log and a call
   of `on_give_up(child, error)`. The price: nothing escalates. If every child fails because
   the same thing is broken, each burns its own budget and nobody restarts what they share.
5. A child may wait before its restarts (`backoff=`). It is held in memory meanwhile, still
   counts as a child, and is lost if the process ends. A restart is counted when the child
   crashed, not when its wait is over.

Differences from OTP: a child cannot be killed. At its limit a task is cancelled once more and,
if it ignores that too, abandoned and reported. Arguments are passed by reference. The children
of a supervisor that gave up have no parent that starts them again: as in OTP, it comes back empty.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable
from contextvars import copy_context
from functools import partial
from threading import get_ident
from typing import Any, Self, TypeVar, TypeVarTuple, Unpack, overload

from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.errors import Refused, TaskRefusedError
from inprocess.supervision.core.exits import Restart
from inprocess.supervision.core.restarts import MAX_RESTARTS, MAX_SECONDS, RestartIntensity
from inprocess.supervision.core.thread_bridge import hop
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.tasks.async_stream import STREAM_TIMEOUT_S, OnTimeout, Stream, cores
from inprocess.supervision.tasks.async_task import AnsweringChild, AsyncTask, Exited, Ok
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.child_options import PLAIN, AsyncOptions, ChildOptions, options_of
from inprocess.supervision.tasks.task_supervisor_base import TaskParent

Ts = TypeVarTuple("Ts")
In = TypeVar("In")
T = TypeVar("T")


class TaskSupervisor(TaskParent):
    """Starts and restarts functions; see the module for what it promises. Made by `start`."""

    __slots__ = ()

    @classmethod
    def start(
        cls,
        *,
        name: str | None = None,
        max_children: float = math.inf,
        max_restarts: int = MAX_RESTARTS,
        max_seconds: float = MAX_SECONDS,
        clock: Clock | None = None,
    ) -> Self:
        """Start a supervisor; raise AlreadyStartedError where the name is taken.

        It lives on the running loop; where there is none, on that of the runtime (see `home_loop`).
        """
        make = partial(
            cls._start_here, name, max_children, RestartIntensity(max_restarts, max_seconds), clock
        )
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return hop(home_loop(), make)
        return make()

    @classmethod
    def _start_here(
        cls, name: str | None, max_children: float, intensity: RestartIntensity, clock: Clock | None
    ) -> Self:
        supervisor = cls(intensity, max_children)
        supervisor._bind(name, clock)
        return supervisor

    def start_child(
        self,
        function: Callable[[*Ts], object],
        *args: *Ts,
        restart: Restart = "temporary",
        **options: Unpack[ChildOptions],
    ) -> Child | Refused:
        """Start `function(*args)` under supervision and return its handle, at once.

        An async function runs on the supervisor's loop, a plain one in a thread; see
        `ChildOptions` for this and the other options. Refused is returned past `max_children`,
        while draining and after the end. Raise ValueError for a misspelt option. Callable from
        any thread; another thread waits for the loop's next turn.
        """
        known = options_of(restart, options) if options or restart not in PLAIN else PLAIN[restart]
        if get_ident() != self.scheduler.thread:
            return self.atomically(partial(self.take, function, args, known, Child))
        if not self._is_open:
            return self.take(function, args, known, Child)
        child = Child()  # as `take` does, whose call would cost a tenth of the whole
        child.exit = child._monitors = child.task = child.past = None  # noqa: SLF001 - in place of its constructor
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

        Refused is returned where the loop does not answer; then the function never runs.
        """
        if self.is_here:
            return function()
        try:
            return hop(self.loop, function)
        except TimeoutError as error:
            return Refused("no_answer", f"{self.name}: {error}; try again when the loop is free")
        except RuntimeError as error:
            return Refused("not_running", f"{self.name}: {error}")

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
        """Start `function(*args)` as a task linked to the asyncio task that calls this; await its result.

        See `task_async` for what a link means. Raise TaskRefusedError past `max_children`, while
        draining and after the end, RuntimeError where no asyncio task on the supervisor's loop
        calls, ValueError for a misspelt option.
        """
        caller = asyncio.current_task() if self.is_here else None
        if caller is None:
            raise RuntimeError(
                "async_ links the task to the asyncio task that calls it, and none on the supervisor's loop "
                "does: use async_nolink"
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
        """As `async_`, unlinked: neither end reaches the other. Any thread: see `result_in_thread`."""
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
        **options: Unpack[AsyncOptions],
    ) -> AsyncGenerator[Ok[Any] | Exited, None]:
        """Run `function(input)` for each input, some at a time, and iterate over what they came to.

        See `task_stream` for the options (`timeout` is in seconds) and for what is raised while
        one iterates: TaskRefusedError and TimeoutError, and a crashed task's error. Loop's thread only.
        """
        return self._stream(
            function, inputs, options, ordered=ordered, max_concurrency=max_concurrency, timeout=timeout,
            on_timeout=on_timeout, linked=True,
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
        **options: Unpack[AsyncOptions],
    ) -> AsyncGenerator[Ok[Any] | Exited, None]:
        """As `async_stream`; a task that crashes has the outcome Exited and ends nothing else."""
        return self._stream(
            function, inputs, options, ordered=ordered, max_concurrency=max_concurrency, timeout=timeout,
            on_timeout=on_timeout, linked=False,
        )  # fmt: skip

    def _async(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        options: Any,
        caller: asyncio.Task[Any] | None,
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
