"""Tasks with a result: what `TaskSupervisor.async_` and `async_nolink` return.

As in OTP, a task is temporary: it runs once, and a crash is logged. `async_` links the task to the
asyncio task that calls it:

- If the caller crashes or is cancelled, the task is ended. If the caller returns, the task goes on, as
  in OTP.
- If the task ends in another way than normally, the caller learns of it: an `await` of the task
  raises; if nothing awaits the task in the loop's next turn either, the caller is cancelled. A cancelled
  caller counts as killed, so the supervisor of a transient caller restarts it.
- In a handler of a GenServer the caller is the server, whatever messages wait: it ends with the task's
  exit, and the task ends with the server.

Differences from OTP, which sends an exit signal: a caller that awaits the task may catch the exception,
and a cancelled caller runs its clean-up. Only a server and an asyncio task can be linked; use
`async_nolink` in a thread or in a callback of the loop. `await` has no timeout of its own (OTP's is 5 s): use
`asyncio.timeout`, whose TimeoutError ends the caller, and with it the task, unless it is caught. A task
may be awaited any number of times, on the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, Literal, TypeVar

from inprocess.supervision.core.clock import settle
from inprocess.supervision.core.errors import TaskExitError
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.process import SHUTDOWN_S, ShutdownLimit, ended_within
from inprocess.supervision.core.serving import Serving
from inprocess.supervision.core.thread_bridge import across, hop
from inprocess.supervision.tasks.child import Child

#: Seconds that `poll` waits. OTP's default.
POLL_S: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ok(Generic[T]):
    """The result of a task that returned. OTP's `{:ok, value}`."""

    value: T


@dataclass(frozen=True, slots=True)
class Exited:
    """The exit of a task that did not return. OTP's `{:exit, reason}`.

    `input` is what the task was given, in a stream with `zip_input_on_exit=True`; OTP's
    `{:exit, {input, reason}}`.
    """

    exit: Exit
    input: Any = None


class AnsweringChild(Child):
    """A child that keeps its result."""

    __slots__ = ("answer",)

    answer: Ok[Any]

    def _ended_directly(self, task: asyncio.Task[object]) -> None:
        self.context.run(self.attempt_ended, task)

    def attempt_ended(self, task: asyncio.Task[object]) -> None:
        """See `Child.attempt_ended`."""
        if not task.cancelled() and task.exception() is None:
            self.answer = Ok(task.result())
        super().attempt_ended(task)


class AsyncTask(Generic[T]):
    """Handle of a task: await it for its result. Created by `async_` and `async_nolink`; see the module."""

    __slots__ = ("_awaiting", "_caller", "_was_awaited", "child")

    def __init__(self, child: AnsweringChild, caller: asyncio.Task[Any] | Serving | None) -> None:
        #: The child that does the work.
        self.child = child
        self._awaiting = 0
        self._was_awaited = False  # after its end
        self._caller = caller
        if caller is None:
            return
        if isinstance(caller, asyncio.Future):
            caller.add_done_callback(self._caller_ended)
        else:
            caller.monitor(self._server_ended)
        child.monitor(self._task_ended)

    @property
    def name(self) -> str:
        """The name that logs show."""
        return self.child.name

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.child.exit is not None

    @property
    def outcome(self) -> Ok[T] | Exited | None:
        """Its result or its exit; None before its end."""
        ended = self.child.exit
        return None if ended is None else outcome_of(self.child, ended)

    def __await__(self) -> Generator[Any, Any, T]:
        return self._result().__await__()

    async def poll(self, seconds: float = POLL_S) -> Ok[T] | Exited | None:
        """Wait for the end, at most `seconds`; return None if it does not come. The task goes on.

        As OTP's `Task.yield`. Does not raise the task's error. Any loop.
        """
        if asyncio.get_running_loop() is not self.child.loop:
            return await across(self.child.loop, partial(self.poll, seconds))
        self._awaiting += 1
        try:
            await ended_within(self.child.supervisor.clock, self.child, seconds)
        finally:
            self._awaiting -= 1
        self._was_awaited = self.done
        return self.outcome

    async def shutdown(self, limit: ShutdownLimit = SHUTDOWN_S) -> Ok[T] | Exited | None:
        """Unlink the task and end it within `limit`. Return its outcome if it ended by itself, else None.

        As OTP's `Task.shutdown`. A task that suppresses its cancellation is abandoned and reported.
        """
        self.ignore()
        outcome = self.outcome
        if outcome is not None:
            return outcome
        await self.child.supervisor.end_child(self.child, limit)
        outcome = self.outcome
        return None if isinstance(outcome, Exited) and outcome.exit.kind == "shutdown" else outcome

    def result_in_thread(self, seconds: float = POLL_S) -> T:
        """Wait for the result on another thread than the loop's; return it, or raise the task's error.

        Raise TimeoutError after `seconds`; the task goes on.
        """
        ended: concurrent.futures.Future[Exit] = concurrent.futures.Future()
        hop(self.child.supervisor.loop, partial(self.child.monitor, ended.set_result))
        try:
            ended.result(seconds)
        except concurrent.futures.TimeoutError:
            raise TimeoutError(f"{self.name} did not end within {seconds:g} s; it goes on") from None
        return self._value()

    async def _result(self) -> T:
        self._awaiting += 1
        try:
            await self.child.wait()
        finally:
            self._awaiting -= 1
        self._was_awaited = True
        return self._value()

    def _value(self) -> T:
        outcome = self.outcome
        if isinstance(outcome, Ok):
            return outcome.value
        assert outcome is not None  # noqa: S101 - it has ended
        raise error_of(self.child, outcome.exit)

    def _caller_ended(self, caller: asyncio.Task[Any]) -> None:
        if caller.cancelled() or caller.exception() is not None:
            self.child.ask()

    def _server_ended(self, ended: Exit) -> None:
        if ended.kind != "normal" and self._caller is not None:
            self.child.ask()

    def _task_ended(self, ended: Exit) -> None:
        caller = self._caller
        self.ignore()
        if caller is not None and ended.kind != "normal" and not self._awaiting:
            # `gather` and `wait_for` begin to await it in the loop's next turn.
            self.child.loop.call_soon(self._tell, caller, ended)

    def _tell(self, caller: asyncio.Task[Any] | Serving, ended: Exit) -> None:
        """Tell the caller of the end, unless it awaits the task by now."""
        if self._awaiting or self._was_awaited:
            return
        if not isinstance(caller, asyncio.Future):
            caller.link_ended(ended)
        elif not caller.done():
            caller.cancel(f"the linked task {self.name} ended: {ended}")

    def begin_awaiting(self, ended: Callable[[Exit], object]) -> None:
        """Call `ended` at its end, which nobody else has to be told of meanwhile. For `await_many`."""
        self._awaiting += 1
        self.child.monitor(ended)

    def end_awaiting(self, ended: Callable[[Exit], object]) -> None:
        """End `begin_awaiting`."""
        self._awaiting -= 1
        self._was_awaited = self._was_awaited or self.done
        self.child.demonitor(ended)

    def ignore(self) -> None:
        """Unlink the task: neither end affects the other from now on. As Elixir's `Task.ignore`."""
        caller, self._caller = self._caller, None
        if isinstance(caller, asyncio.Future):
            caller.remove_done_callback(self._caller_ended)


async def await_many(tasks: Iterable[AsyncTask[T]], *, timeout: float = POLL_S) -> list[T]:  # noqa: ASYNC109 - OTP's option
    """Wait for all of the tasks and return their results, in their order. As Elixir's `Task.await_many`.

    Raise the error of the first that ends without a result, as soon as it does, and TimeoutError after
    `timeout` seconds; math.inf is no limit. The other tasks go on, unless they are linked to a caller whom
    the error ends. Raise ValueError for tasks of several loops. Any loop.
    """
    many = list(tasks)
    if (loop := _other_loop(many)) is not None:
        return await across(loop, partial(await_many, many, timeout=timeout))
    if not await _ended(many, timeout, len(many), until_exit=True):
        late = [task.name for task in many if not task.done]
        text = f"{len(late)} of {len(many)} tasks did not end within {timeout:g} s, {late[0]} is one"
        raise TimeoutError(f"{text}; they go on")
    for task in many:
        if isinstance(exited := task.outcome, Exited):
            raise error_of(task.child, exited.exit)
    return [outcome.value for task in many if isinstance(outcome := task.outcome, Ok)]


async def yield_many(
    tasks: Iterable[AsyncTask[T]],
    *,
    timeout: float = POLL_S,  # noqa: ASYNC109 - OTP's option
    limit: int | None = None,
    on_timeout: Literal["nothing", "ignore", "kill_task"] = "nothing",
) -> list[tuple[AsyncTask[T], Ok[T] | Exited | None]]:
    """Wait until the tasks, or `limit` of them, have ended, at most `timeout` seconds.

    Return each task with its outcome, in their order; None if it has not ended. Does not raise the tasks'
    errors. If the time is over, the tasks that have not ended go on ("nothing", the default), go on unlinked
    ("ignore"), or are killed ("kill_task"). As Elixir's `Task.yield_many`. Raise ValueError for options out
    of range, and for tasks of several loops. Any loop.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: expected at least 1, or None for all")
    if on_timeout not in {"nothing", "ignore", "kill_task"}:
        raise ValueError(f"on_timeout is {on_timeout!r}: expected 'nothing', 'ignore' or 'kill_task'")
    many = list(tasks)
    if (loop := _other_loop(many)) is not None:
        there = partial(yield_many, many, timeout=timeout, limit=limit, on_timeout=on_timeout)
        return await across(loop, there)
    in_time = await _ended(many, timeout, len(many) if limit is None else min(limit, len(many)))
    late = [] if in_time else [task for task in many if not task.done]
    if on_timeout == "kill_task":
        killed = await asyncio.gather(*(task.shutdown("brutal_kill") for task in late))
        outcomes = {task: task.outcome for task in many} | dict(zip(late, killed, strict=True))
        return [(task, outcomes[task]) for task in many]
    if on_timeout == "ignore":
        for task in late:
            task.ignore()
    return [(task, task.outcome) for task in many]


def _other_loop(tasks: Sequence[AsyncTask[Any]]) -> asyncio.AbstractEventLoop | None:
    """Return the loop that the tasks live on, unless it is the running one."""
    loops = {task.child.loop for task in tasks}
    if len(loops) > 1:
        raise ValueError(f"the tasks live on {len(loops)} event loops: wait for those of one loop at a time")
    return None if loops <= {asyncio.get_running_loop()} else loops.pop()


async def _ended(
    tasks: Sequence[AsyncTask[Any]], seconds: float, wanted: int, *, until_exit: bool = False
) -> bool:
    """Wait until `wanted` of the tasks have ended, or one without a result; return False after `seconds`."""
    if not tasks:
        return True
    woken = asyncio.get_running_loop().create_future()
    left = wanted

    def ended(how: Exit) -> None:
        nonlocal left
        left -= 1
        if left <= 0 or (until_exit and how.kind != "normal"):
            settle(woken)
            left = 0

    for task in tasks:
        task.begin_awaiting(ended)
    timer = None
    if seconds < math.inf:
        timer = tasks[0].child.supervisor.clock.call_later(seconds, partial(settle, woken))
    try:
        await woken
    finally:
        if timer is not None:
            timer.cancel()
        for task in tasks:
            task.end_awaiting(ended)
    return left <= 0


def outcome_of(child: AnsweringChild, ended: Exit) -> Ok[Any] | Exited:
    """Return the outcome of a child that ended with this exit."""
    answer = getattr(child, "answer", None)
    return Exited(ended) if answer is None or ended.kind != "normal" else answer


def error_of(child: AnsweringChild, ended: Exit) -> BaseException:
    """Return the exception to raise for a child that ended without a result."""
    if ended.error is None or isinstance(ended.error, asyncio.CancelledError):
        return TaskExitError(f"{child.name} ended without a result: {ended}", ended)
    return ended.error
