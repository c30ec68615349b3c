"""async_stream: run a function over many inputs, several at a time, and iterate over the outcomes.

1. It is lazy. Nothing runs, and no input is taken, before the first outcome is requested. An input is
   taken when a slot is free while an outcome is awaited. Inputs may be endless, and may come from an
   async iterator.
2. `max_concurrency` tasks run at once; by default the number of cores. A slot is free when its task
   has ended, even if the outcome has not been yielded yet.
3. `ordered` (default): outcomes come in the order of the inputs, so a slow task keeps the outcomes of
   later tasks in memory. Otherwise they come in the order of their end.
4. `timeout`, 5 s by default, math.inf for none, is counted for each task from its start.
   `on_timeout="exit"` (default) ends the stream with TimeoutError; "kill_task" ends the task, whose
   outcome is then Exited with that error.
   `zip_input_on_exit=True` gives each Exited its `input`.
5. A crashed task ends a linked stream: its error is raised at the next outcome requested, before any
   other. A stream of `async_stream_nolink` goes on, with Exited as the outcome.
6. However the stream ends, its tasks end with it, all at once, each within `shutdown`.

As in OTP. Differences: the error of a linked task is raised where the stream is iterated, not sent as
an exit signal. `break` ends the tasks as soon as Python closes the iterator;
`async with contextlib.aclosing(stream)` also waits for their end.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from functools import partial
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, get_args

from inprocess.supervision.core.clock import Timer, settle
from inprocess.supervision.core.errors import Refused, TaskRefusedError
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.tasks.async_task import AnsweringChild, Exited, Ok, error_of, outcome_of
from inprocess.supervision.tasks.child import ChildOwner
from inprocess.supervision.tasks.child_options import Options
from inprocess.supervision.tasks.stream_input import Source

OnTimeout = Literal["exit", "kill_task"]

#: Seconds that one task of a stream may take. OTP's default.
STREAM_TIMEOUT_S: Final = 5.0

In = TypeVar("In")


class StreamOwner(ChildOwner, Protocol):
    """The supervisor of a stream: a TaskSupervisor."""

    def take(
        self,
        function: Callable[..., object],
        args: tuple[Any, ...],
        options: Options,
        kind: type[AnsweringChild],
    ) -> AnsweringChild | Refused:
        """Start a child, or refuse it."""


def cores() -> int:
    """Return the default for `max_concurrency`."""
    return os.cpu_count() or 1


class _Item:
    """One input's task; `outcome` is None until it is known."""

    __slots__ = ("child", "outcome", "timer")

    def __init__(self, child: AnsweringChild) -> None:
        self.child = child
        self.outcome: Ok[Any] | Exited | None = None
        self.timer: Timer | None = None


class Stream(Generic[In]):
    """The state of one stream; see the module. Raise ValueError for options out of range."""

    def __init__(
        self,
        supervisor: StreamOwner,
        function: Callable[[In], object],
        options: Options,
        *,
        ordered: bool,
        max_concurrency: int,
        timeout: float,
        on_timeout: OnTimeout,
        zip_input_on_exit: bool,
        linked: bool,
    ) -> None:
        at_once: object = max_concurrency
        if not isinstance(at_once, int) or at_once < 1:
            raise ValueError(f"max_concurrency is {max_concurrency!r}: expected an int of at least 1")
        if not timeout > 0:
            raise ValueError(f"timeout is {timeout}: expected seconds above 0, or math.inf")
        if on_timeout not in get_args(OnTimeout):
            raise ValueError(f"on_timeout is {on_timeout!r}: expected 'exit' or 'kill_task'")
        self._supervisor = supervisor
        self._function = function
        self._options = options
        self._ordered = ordered
        self._free = max_concurrency
        self._timeout = timeout
        self._on_timeout = on_timeout
        self._zip_input = zip_input_on_exit
        self._linked = linked
        self._due: deque[_Item] = deque()  # to be yielded next; unordered: only items with an outcome
        self._running: dict[AnsweringChild, None] = {}
        self._killing: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._waking: asyncio.Future[None] | None = None

    async def outcomes(
        self, inputs: Iterable[In] | AsyncIterable[In]
    ) -> AsyncGenerator[Ok[Any] | Exited, None]:
        """Start tasks and yield their outcomes, until no input and no task is left."""
        source = Source(inputs, self._wake)
        try:
            self._fill(source)
            while self._failure is None:
                if self._is_next_known():
                    yield self._due.popleft().outcome  # type: ignore[misc]  # it is known
                    self._fill(source)
                elif self._due or self._running or not source.is_exhausted:
                    await self._change()
                    if not self._is_next_known():  # else yield it first: inputs are taken on request only
                        self._fill(source)
                else:
                    return
            raise self._failure
        finally:
            source.close()
            await self._end()

    def _is_next_known(self) -> bool:
        return bool(self._due) and self._due[0].outcome is not None

    def _fill(self, source: Source[In]) -> None:
        """Start tasks while there are slots and inputs."""
        while self._free and self._failure is None:
            found = source.take()
            if found is None:
                return
            self._spawn(found[0])

    def _spawn(self, value: In) -> None:
        child = self._supervisor.take(self._function, (value,), self._options, AnsweringChild)
        if isinstance(child, Refused):
            raise TaskRefusedError(child)
        item = _Item(child)
        if self._timeout < math.inf:
            item.timer = self._supervisor.scheduler.call_later(self._timeout, partial(self._timed_out, item))
        self._free -= 1
        self._running[child] = None
        if self._ordered:
            self._due.append(item)
        child.monitor(partial(self._ended, item))

    def _ended(self, item: _Item, ended: Exit) -> None:
        if item.timer is not None:
            item.timer.cancel()
        self._free += 1
        del self._running[item.child]
        if item.outcome is None:
            self._came_to(item, outcome_of(item.child, ended))
            if self._linked and ended.kind != "normal":
                self._failure = self._failure or error_of(item.child, ended)
        self._wake()

    def _timed_out(self, item: _Item) -> None:
        text = f"{item.child.describe()} took longer than {self._timeout:g} s"
        error = TimeoutError(f"{text}: give the stream more time (timeout=), or on_timeout='kill_task'")
        if self._on_timeout == "exit":
            self._failure = self._failure or error
        else:
            self._came_to(item, Exited(Exit("crash", error)))
            killing = self._supervisor.loop.create_task(self._supervisor.end_child(item.child, "brutal_kill"))
            self._killing.add(killing)
            killing.add_done_callback(self._killing.discard)
        self._wake()

    def _came_to(self, item: _Item, outcome: Ok[Any] | Exited) -> None:
        if self._zip_input and isinstance(outcome, Exited):
            outcome = Exited(outcome.exit, item.child.args[0])
        item.outcome = outcome
        if not self._ordered:
            self._due.append(item)

    def _wake(self) -> None:
        if self._waking is not None:
            settle(self._waking)

    async def _change(self) -> None:
        """Wait until a task ends or times out, or an input arrives."""
        self._waking = asyncio.get_running_loop().create_future()
        await self._waking

    async def _end(self) -> None:
        end = partial(self._supervisor.end_child, limit=self._options.shutdown)
        await asyncio.gather(*map(end, reversed(self._running)), *self._killing)
