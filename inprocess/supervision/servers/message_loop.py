"""MessageLoop: the process behind a GenServer. It has the mailbox, handles the messages, and ends.

How it handles messages, without a task unless a handler awaits:

1. `post` puts a message into the mailbox; the first one queues a step on the scheduler.
2. The step handles at most MESSAGES_PER_TURN messages, then queues itself again or rests.
3. A handler that awaits gets an asyncio task, which finishes it, continues with the mailbox, and
   ends when that is empty. With eager tasks (Python 3.12), a task that does not have to wait takes
   no turn of the loop.

How it ends, whether it was asked to, ends itself, is cancelled or killed:

1. `_wanted` holds the exit. It is handled before the messages that wait.
2. `terminate` runs, unless the server is killed. If it fails, its error is the exit.
3. A crash is logged.
4. `_end` frees the name, calls the monitors, and fails all calls that wait.

An idle server is two small objects: no task, no event, no deque. The mailbox is None when empty, a
single message as itself, and a deque only for more, because an empty deque takes 600 bytes.

Handlers run in a context (`contextvars`) of the server's own, a copy of the starter's. Until its
first message a server shares that copy with other servers of the same starter.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from functools import partial
from logging import ERROR
from typing import Any, Final, Protocol, TypeVar, cast

from inprocess.supervision.core.clock import Clock, settle
from inprocess.supervision.core.contexts import Origin, origin
from inprocess.supervision.core.errors import ServerDiedError, StartError
from inprocess.supervision.core.exits import ENDS_LOOP, NORMAL, SHUTDOWN, Exit, Ignore, exit_of, killed
from inprocess.supervision.core.log import log
from inprocess.supervision.core.loops import NOWHERE, why_unreachable
from inprocess.supervision.core.process import (
    BaseProcess,
    Ending,
    Held,
    Process,
    ShutdownLimit,
    abandon,
    ancestors,
)
from inprocess.supervision.core.redact import repr_of
from inprocess.supervision.core.serving import served_by
from inprocess.supervision.core.telemetry import attached
from inprocess.supervision.servers.call import Caller, Question
from inprocess.supervision.servers.deadlines import deadlines
from inprocess.supervision.servers.debug import Debug
from inprocess.supervision.servers.down import Down, Monitor
from inprocess.supervision.servers.instrumentation import is_awaitable, observed, terminate_in_span
from inprocess.supervision.servers.server_report import log_crash, state_of
from inprocess.supervision.servers.timers import TIMEOUT, IdleTimeout, MessageTimer

#: Messages that a server handles before it lets the rest of the loop have a turn.
MESSAGES_PER_TURN: Final = 100
#: Names in the chain of callers of a crash log.
MAX_CALLERS: Final = 10
#: Returned by `handle_call` if `caller.reply` will be called later.
NO_REPLY: Final[Any] = object()

#: Kinds of messages. A call is a Caller; any other message is a pair of its kind and its content, which is
#: a Question for SYSTEM.
CAST: Final = "cast"
INFO: Final = "info"
CONTINUE: Final = "continue"
SYSTEM: Final = "system"
Message = Caller | tuple[str, Any]

IDLE: Final = 0  #: The mailbox is empty.
QUEUED: Final = 1  #: A step is queued on the scheduler.
BUSY: Final = 2  #: A step or a task runs, and will read the mailbox.
STARTING: Final = 3  #: An async init runs.
SUSPENDED: Final = 4  #: As IDLE, but only system messages are handled.
ENDED: Final = 5

T = TypeVar("T")


class Server(Protocol):
    """The handlers and hooks of a GenServer, see `gen_server`."""

    @property
    def shutdown_limit(self) -> ShutdownLimit:
        """See `Process.shutdown_limit`."""

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set up the state."""

    def handle_continue(self, argument: Any) -> Any:
        """Handle the argument of `continue_with`."""

    def handle_call(self, request: Any, caller: Caller, /) -> Any:
        """Return the reply, or NO_REPLY."""

    def handle_cast(self, message: Any, /) -> Any:
        """Handle a message without a reply."""

    def handle_info(self, message: Any, /) -> Any:
        """Handle any other message."""

    def terminate(self, ended: Exit, /) -> Any:
        """Clean up."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return what logs may show of these values."""

    def quiet(self) -> None:
        """See `Process.quiet`."""

    async def idle(self) -> None:
        """See `Process.idle`."""

    def held(self) -> Sequence[Held]:
        """See `Process.held`."""


class Extra:
    """State that few servers need, created on first use."""

    __slots__ = (
        "continues", "debug", "deferred", "idle_timeout", "killed", "link_failed", "monitors", "start_error",
        "suspended", "waiters",
    )  # fmt: skip

    def __init__(self) -> None:
        #: Arguments of `continue_with`, oldest first.
        self.continues: list[Any] = []
        #: Records what the server does, for `sys`.
        self.debug: Debug | None = None
        #: Calls that will be replied to later.
        self.deferred: set[Caller] = set()
        self.idle_timeout: IdleTimeout | None = None
        #: Monitors of `send_down`.
        self.monitors: set[Monitor] = set()
        #: Whether it was killed, or a task that is linked to it failed.
        self.killed = self.link_failed = False
        self.start_error: BaseException | None = None
        self.suspended = False
        #: Tasks that wait for an async init.
        self.waiters: list[asyncio.Future[None]] = []

    def replied(self, caller: Caller, value: object) -> None:
        """Record a reply."""
        self.deferred.discard(caller)
        if self.debug is not None:
            self.debug.replied(value, caller.describe)

    def end(self) -> None:
        """Release what waits for the server, or for others on its behalf."""
        self.wake()
        if self.idle_timeout is not None:
            self.idle_timeout.cancel()
        for monitor in list(self.monitors):
            monitor.cancel()

    def wake(self) -> None:
        """Wake the tasks that wait for the init."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            settle(waiter)


class MessageLoop(BaseProcess):
    """See the module. Created by `GenServer.start`. Loop's thread only, unless a method says otherwise."""

    __slots__ = ("_context", "_current", "_timers", "_wanted", "extra", "mailbox", "server", "state", "task")

    _context: Origin | Context

    def __init__(self, server: Server) -> None:
        self.exit = self._monitors = None  # as Ending does, without the cost of a call
        #: The GenServer.
        self.server = server
        self.mailbox: Message | deque[Message] | None = None
        #: The message that is being handled.
        self._current: Message | None = None
        #: One of IDLE to ENDED.
        self.state: int = IDLE
        #: The exit that it was asked to end with.
        self._wanted: Exit | None = None
        #: The task of a handler that awaits, or of an async init.
        self.task: asyncio.Task[None] | None = None
        self.extra: Extra | None = None
        self._timers: MessageTimer | None = None

    @property
    def handle(self) -> Process:
        """The GenServer."""
        return cast("Process", self.server)

    @property
    def name(self) -> str:
        """The unique name it was started with, else the name of the server's class."""
        return self._name or type(self.server).__qualname__

    @property
    def shutdown_limit(self) -> ShutdownLimit:  # type: ignore[override]  # a class variable of other processes
        """See `Process.shutdown_limit`."""
        return self.server.shutdown_limit

    @property
    def condition(self) -> str:
        """Starting, running, suspended or stopping. Only meaningful before the end."""
        if self._wanted is not None:
            return "stopping"
        if self.state == STARTING:
            return "starting"
        return "suspended" if self.is_suspended else "running"

    @property
    def is_suspended(self) -> bool:
        """Whether `sys.suspend` holds back its messages."""
        return self.extra is not None and self.extra.suspended

    def suspend(self, *, on: bool) -> None:
        """See `BaseProcess.suspend`."""
        self.ensure_extra().suspended = on

    def system_state(self) -> dict[str, Any]:
        """The server's attributes by name."""
        return state_of(self.server)

    # Hooks, read from the server's class: an instance attribute by such a name is the author's.

    def quiet(self) -> None:
        """See `Process.quiet`."""
        type(self.server).quiet(self.server)

    async def idle(self) -> None:
        """See `Process.idle`."""
        await type(self.server).idle(self.server)

    def held(self) -> Sequence[Held]:
        """See `Process.held`."""
        return type(self.server).held(self.server)

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """See `GenServer.format_status`."""
        return self.server.format_status(status)

    # How it starts.

    def begin(
        self, name: str | None, clock: Clock | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Run `init`; raise StartError if it fails, and Ignore if it raises that."""
        self._bind(name, clock)
        try:
            pending = self.server.init(*args, **kwargs)
        except Ignore:
            self._end(NORMAL)
            raise
        except BaseException as error:
            self._end(Exit("crash", error))
            if isinstance(error, ENDS_LOOP):
                raise
            raise StartError(f"{self.name} could not start: {repr_of(error)}") from error
        self._context = origin()
        if pending is not None and is_awaitable(pending):
            self.state = STARTING
            self._give_task(self._initialise(pending), pending, eagerly=False)
        elif self.extra is not None:
            self.wake()  # init may have called continue_with

    async def ready(self) -> None:
        """See `Process.ready`. Raise Ignore if `init` did."""
        if self.state == STARTING:
            waiter = self.loop.create_future()
            self.ensure_extra().waiters.append(waiter)
            await waiter
        error = None if self.extra is None else self.extra.start_error
        if isinstance(error, Ignore):
            raise error
        if isinstance(error, asyncio.CancelledError):
            raise StartError(f"{self.name} was told to end before it had started")
        if error is not None:
            raise StartError(f"{self.name} could not start: {repr_of(error)}") from error

    async def _initialise(self, pending: Awaitable[Any]) -> None:
        error: BaseException | None = None
        try:
            await pending
        except BaseException as raised:  # noqa: BLE001 - raised by `ready`
            error = raised
        if self.exit is not None:  # it was abandoned
            return
        if error is not None:
            self._start_failed(error)
            if isinstance(error, ENDS_LOOP):
                raise error
            return
        self.state = BUSY
        if self.extra is not None:
            self.extra.wake()
        await self._go_on(None, None)

    def _start_failed(self, error: BaseException) -> None:
        extra = self.ensure_extra()
        extra.start_error = error
        if isinstance(error, asyncio.CancelledError):
            self._end(self._wanted or killed())
            return
        if not isinstance(error, Ignore) and not extra.waiters:  # else `ready` raises it
            log.error("%s could not start: %s", self.name, repr_of(error), exc_info=error)
        self._end(NORMAL if isinstance(error, Ignore) else Exit("crash", error))

    # The mailbox.

    @property
    def mailbox_depth(self) -> int:
        """Number of messages that wait, without the one being handled. Any thread."""
        there, extra = self.mailbox, self.extra
        promised = 0 if extra is None else len(extra.continues)
        if there is None:
            return promised
        return promised + (len(there) if type(there) is deque else 1)

    def ensure_extra(self) -> Extra:
        """Return its Extra, and create it if it has none."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def post(self, message: Message) -> None:
        """Put a message into the mailbox. Ignored after the end."""
        state = self.state
        if state == ENDED:
            return
        there = self.mailbox
        if there is None:
            self.mailbox = message
        elif type(there) is deque:
            there.append(message)
        else:
            self.mailbox = deque((cast("Message", there), message))
        if state == IDLE:
            self.wake()

    def post_from_thread(self, message: Message) -> None:
        """Like `post`, from another thread, or another loop on this one."""
        if self.scheduler.runs_on is NOWHERE:
            log.error("%s: a message to it is lost: %s", self.name, why_unreachable(self.loop))
            return
        with suppress(RuntimeError):  # the loop is closed, so the server has ended
            self.loop.call_soon_threadsafe(self.post, message)

    def send_at(self, when: float, message: Message) -> MessageTimer:
        """Post a message at this moment, unless the timer is cancelled or the server ends before."""
        timers = self._timers
        while timers is not None and timers.callback is None:
            timers = timers.earlier
        timer = self._timers = MessageTimer(self.scheduler, when, partial(self.post, message), timers)
        self.scheduler.at(when, timer)
        return timer

    def set_idle_timeout(self, seconds: float | None) -> None:
        """See `GenServer.set_idle_timeout`."""
        extra = self.ensure_extra()
        if extra.idle_timeout is not None:
            extra.idle_timeout.cancel()
        extra.idle_timeout = None if seconds is None else IdleTimeout(self.scheduler, seconds, self._was_idle)

    def _was_idle(self) -> None:
        extra = self.ensure_extra()
        if self.state == IDLE:
            self.post((INFO, TIMEOUT))
        elif self.state == SUSPENDED and extra.idle_timeout is not None:
            extra.idle_timeout.rested()

    def send_down(self, process: Process | Ending) -> Monitor:
        """See `GenServer.send_down`."""
        ending = process.__process__ if isinstance(process, Process) else process
        if ending.loop is not self.loop:
            raise RuntimeError(f"{self.name} lives on another event loop than {process!r}: await its wait()")
        monitor = Monitor(self, process, ending)
        self.ensure_extra().monitors.add(monitor)
        monitor.begin()
        return monitor

    def down(self, message: Down) -> None:
        """See `Monitor`."""
        self.ensure_extra().monitors.discard(message.monitor)
        self.post((INFO, message))

    def forget(self, monitor: Monitor, message: Down | None) -> None:
        """See `Monitor`."""
        self.ensure_extra().monitors.discard(monitor)
        if message is not None:
            left = [sent for sent in self._waiting() if isinstance(sent, Caller) or sent[1] is not message]
            self.mailbox = deque(left) if left else None

    def continue_with(self, argument: Any) -> None:
        """Run `handle_continue(argument)` before the next message."""
        self.ensure_extra().continues.append(argument)
        self.wake()

    def refuse(self, caller: Caller) -> None:
        """Raise RuntimeError for a call by the server itself, ServerDiedError after the end."""
        if caller.client is self.task and self.task is not None:
            raise RuntimeError(f"{self.name} calls itself: it would wait for ever, so do the work in place")
        if self.exit is not None:
            raise ServerDiedError(f"{self.name} is not running: it ended with {self.exit}")

    async def call_system(self, function: Callable[[Any], T], timeout: float) -> T:  # noqa: ASYNC109 - as GenServer.call
        """See `BaseProcess.call_system`; it is called between two messages."""
        if asyncio.get_running_loop() is not self.loop:
            return cast("T", await self.on_its_loop(partial(self.call_system, function, timeout), timeout))
        question = Question(self, partial(function, self.server), asyncio.current_task())
        self.refuse(question)
        waiting = deadlines(self.scheduler, timeout)
        if waiting is not None:
            waiting.add(question)
        self.post((SYSTEM, question))
        if self.state == SUSPENDED:
            self.wake()
        try:
            return cast("T", await question.future)
        finally:
            if waiting is not None:
                waiting.discard(question)

    def wake(self) -> None:
        """Queue a step if none is."""
        if self.state == IDLE or self.state == SUSPENDED:  # noqa: PLR1714 - quicker than a set
            self.state = QUEUED
            try:
                self.scheduler.soon(self._step)
            except RuntimeError:
                if not self.loop.is_closed():
                    raise
                self._end(SHUTDOWN)  # the loop was closed before the server ended

    def _rest(self) -> None:
        extra = self.extra
        self.state = IDLE if extra is None or not extra.suspended else SUSPENDED
        if extra is not None and extra.idle_timeout is not None:
            extra.idle_timeout.rested()

    def _next(self) -> Message | None:
        extra = self.extra
        if extra is not None:
            if extra.continues:
                return CONTINUE, extra.continues.pop(0)
            if extra.suspended:
                return self._next_system()
        there = self.mailbox
        if type(there) is deque:
            message: Message = there.popleft()
            if not there:
                self.mailbox = None
            return message
        if there is not None:
            self.mailbox = None
        return there  # type: ignore[return-value]  # what is no deque is a message

    def _next_system(self) -> Message | None:
        waiting = deque(self._waiting())
        for k, message in enumerate(waiting):
            if type(message) is tuple and message[0] == SYSTEM:
                del waiting[k]
                self.mailbox = waiting or None
                return message
        return None

    def _waiting(self) -> list[Message]:
        there = self.mailbox
        if there is None:
            return []
        return list(there) if type(there) is deque else [cast("Message", there)]

    # How messages are handled.

    def _dispatch(self, message: Message) -> Awaitable[Any] | None:
        """Call the message's handler; return what it has to await, if anything."""
        if type(message) is tuple:
            kind, sent = message
            if kind is CAST:
                outcome = self.server.handle_cast(sent)
            elif kind is INFO:
                outcome = self.server.handle_info(sent)
            elif kind is CONTINUE:
                outcome = self.server.handle_continue(sent)
            else:
                outcome = sent.perform()
            return outcome if outcome is not None and is_awaitable(outcome) else None
        caller = cast("Caller", message)
        reply = self.server.handle_call(caller.request, caller)
        if reply is not None and hasattr(type(reply), "__await__"):  # as is_awaitable, without the call
            return cast("Awaitable[Any]", reply)
        if reply is NO_REPLY or self.extra is not None:
            self._complete(reply)
        elif not caller.future.done():
            caller.future.set_result(reply)
        return None

    def _complete(self, outcome: object) -> None:
        """Reply with what `handle_call` returned; ignore what other handlers returned."""
        message = self._current
        if type(message) is Caller:
            if outcome is not NO_REPLY:
                message.answer(outcome)
            elif not message.future.done():
                self.ensure_extra().deferred.add(message)

    def _handle(self, message: Message) -> Awaitable[Any] | None:
        extra = self.extra
        if attached or (extra is not None and extra.debug is not None):
            return observed(self.name, self._dispatch, message, None if extra is None else extra.debug)
        return self._dispatch(message)

    def _step(self) -> None:
        if self.state != QUEUED:  # it ended meanwhile
            return
        self.state = BUSY
        context = self._context
        if type(context) is not Context:
            context = self._own_context()
        scheduler = self.scheduler
        scheduler.serving = self
        try:
            left = context.run(self._handle_some)
            if left is not None:
                self._give_task(self._go_on(*left), left[0])
        finally:
            scheduler.serving = None

    def _handle_some(self) -> tuple[Awaitable[Any], Exit | None] | None:  # noqa: C901, PLR0912 - a hot path, without calls
        """Handle messages until none is left, one awaits, or this turn's share is used.

        Return what is to be awaited, and the exit if that is `terminate`.
        """
        server = self.server
        message: Any
        try:
            for _ in range(MESSAGES_PER_TURN):
                if self._wanted is not None:
                    return self._leave(self._wanted)
                if self.extra is None and type(self.mailbox) is not deque:  # as `_next`, without the call
                    message = self._current = self.mailbox  # type: ignore[assignment]  # what is no deque
                    self.mailbox = None
                else:
                    message = self._current = self._next()
                if message is None:
                    self._rest()
                    return None
                if attached or self.extra is not None:
                    pending = self._handle(message)
                elif type(message) is Caller:  # as `_dispatch`, without the call
                    pending = server.handle_call(message.request, message)
                    if pending is None or not hasattr(type(pending), "__await__"):
                        if pending is NO_REPLY or self.extra is not None:
                            self._complete(pending)
                        elif not message.future.done():
                            message.future.set_result(pending)
                        continue
                elif type(message) is tuple and message[0] is CAST:  # fast path for a burst
                    pending = server.handle_cast(message[1])
                    if pending is None or not is_awaitable(pending):
                        continue
                else:
                    pending = self._dispatch(message)
                if pending is not None:
                    return pending, None
        except ENDS_LOOP as error:
            self._finish(Exit("crash", error))
            raise
        except BaseException as error:  # noqa: BLE001 - what a handler raises is the exit
            return self._leave(exit_of(error))
        self.state = QUEUED
        self.scheduler.soon(self._step)
        return None

    async def _go_on(self, pending: Awaitable[Any] | None, ended: Exit | None) -> None:
        """Finish the awaiting handler, continue until the mailbox is empty, and end if wanted."""
        self.task = asyncio.current_task()
        try:
            if ended is None:
                ended = await self._handle_all(pending)
                if ended is None:
                    return
                left = self._leave(ended)
                pending = None if left is None else left[0]
            if pending is not None:
                await self._leave_after(pending, ended)
        except asyncio.CancelledError:
            self._cancelled()
        except ENDS_LOOP as error:
            self._finish(Exit("crash", error))
            raise

    async def _handle_all(self, pending: Awaitable[Any] | None) -> Exit | None:
        """Handle messages until none is left; return the exit if it is to end."""
        handled = 0
        try:
            if pending is not None:
                self._complete(await pending)
            while self._wanted is None:
                message = self._current = self._next()
                if message is None:
                    self.task = None
                    self._rest()
                    return None
                pending = self._handle(message)
                if pending is not None:
                    self._complete(await pending)
                handled += 1
                if handled % MESSAGES_PER_TURN == 0:
                    await asyncio.sleep(0)
        except (asyncio.CancelledError, *ENDS_LOOP):
            raise
        except BaseException as error:  # noqa: BLE001 - as in _handle_some
            return exit_of(error)
        return self._wanted

    def _own_context(self) -> Context:
        context = self._context
        if isinstance(context, Origin):
            context = self._context = context.context.copy()
        return context

    def _give_task(
        self, coroutine: Coroutine[Any, Any, None], pending: object, *, eagerly: bool = True
    ) -> None:
        loop, context = self.scheduler.loop, self._own_context()
        if eagerly and sys.version_info >= (3, 12) and loop.get_task_factory() is None:
            task = asyncio.Task(coroutine, loop=loop, name=self.name, context=context, eager_start=True)
        else:
            task = loop.create_task(coroutine, name=self.name, context=context)
        if not task.done():
            self.task = task
            served_by[task] = self
            task.add_done_callback(partial(self._task_ended, pending), context=context)

    def _task_ended(self, pending: object, task: asyncio.Task[None]) -> None:
        served_by.pop(task, None)
        if self.task is not task:  # the mailbox was emptied
            return
        if isinstance(pending, Coroutine):
            pending.close()  # the task was cancelled before its first line
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._finish(Exit("crash", error))
        elif self.state == STARTING:
            self._start_failed(asyncio.CancelledError())
        else:
            self._cancelled()

    # How it ends.

    def shutdown(self) -> None:
        """End after the running handler, with exit shutdown. Cancel an async `init`."""
        self.ask(SHUTDOWN)

    def end_itself(self, limit: ShutdownLimit | None, ended: Exit) -> None:
        """End after the running handler, which asks for it; with brutal_kill, at its next await."""
        if limit == "brutal_kill":
            self.kill()
        else:
            self.ask(ended)

    def ask(self, ended: Exit) -> None:
        """Like `shutdown`, with this exit."""
        if self._wanted is None and self.exit is None:
            self._wanted = ended
            if self.state == STARTING and self.task is not None:
                self.task.cancel()
            self.wake()

    def link_ended(self, ended: Exit) -> None:
        """End with the exit of a task that is linked to it: at the next await, or in the loop's next turn."""
        if self._wanted is None and self.exit is None:
            self._wanted = ended
            if self.task is not None:
                self.ensure_extra().link_failed = True
                self.task.cancel()
            else:
                self.wake()

    def kill(self) -> None:
        """End at the next await, without `terminate`; now, if nothing is awaited. The exit is killed."""
        if self.exit is not None:
            return
        self.ensure_extra().killed = True
        self._wanted = killed()
        if self.task is not None:
            self.task.cancel()
        elif self.state != BUSY:  # else its own plain handler kills it, and returns first
            self._end(self._wanted)

    def _leave(self, ended: Exit) -> tuple[Awaitable[Any], Exit] | None:
        """Run `terminate`, then end; return what is to be awaited first."""
        extra = self.extra
        self._wanted = ended
        if extra is not None and extra.killed:
            self._end(ended)
            return None
        try:
            if attached:
                pending = terminate_in_span(self.name, self.server.terminate, ended)
            else:
                pending = self.server.terminate(ended)
            if pending is not None and is_awaitable(pending):
                return pending, ended
        except BaseException as error:
            self._finish(Exit("crash", error))
            if isinstance(error, ENDS_LOOP):
                raise
        else:
            self._finish(ended)
        return None

    async def _leave_after(self, pending: Awaitable[Any], ended: Exit) -> None:
        try:
            await pending
        except (asyncio.CancelledError, *ENDS_LOOP):
            raise
        except BaseException as error:  # noqa: BLE001 - the server ends either way
            ended = Exit("crash", error)
        self._finish(ended)

    def _cancelled(self) -> None:
        """Its task was cancelled: by `kill`, or by other code, which counts as a crash."""
        if self.extra is not None and self.extra.killed and self._wanted is not None:
            self._end(self._wanted)
        elif self.extra is not None and self.extra.link_failed and self._wanted is not None:
            self._finish(self._wanted)
        else:
            self._finish(killed())

    def _finish(self, ended: Exit) -> None:
        if self.exit is None:
            if ended.kind == "crash":
                self._log_crash(ended)
            self._end(ended)

    def _log_crash(self, ended: Exit) -> None:
        if not log.isEnabledFor(ERROR):  # showing the state costs more than a restart does
            return
        message, client = self._current, None
        if message is None:
            kind, payload = "none", None
        elif isinstance(message, tuple):
            kind, payload = message
        else:
            kind, payload, client = "call", message.request, _callers(message)
        log_crash(
            self, ended, state=state_of(self.server), kind=kind, message=payload, client=client,
            above=ancestors(self),
        )  # fmt: skip

    def _abandon(self) -> None:
        abandon(self.task, self.name)
        self._end(killed())

    def _end(self, ended: Exit) -> None:
        if self.exit is not None:
            return
        self.state = ENDED
        callers = self._callers()
        self.mailbox = self._current = self.task = None
        timers, self._timers = self._timers, None
        while timers is not None:
            timers.cancel()
            timers = timers.earlier
        super()._end(ended)
        for caller in callers:
            error = ServerDiedError(f"{self.name} ended before it replied: {ended}")
            error.__cause__ = ended.error
            caller.fail(error)
        for waiting in list(self.scheduler.deadlines.values()):
            waiting.release()
        if self.extra is not None:
            self.extra.end()

    def _callers(self) -> list[Caller]:
        """Return the calls that wait for a reply: in the mailbox, being handled, or deferred."""
        extra = self.extra
        messages = (self._current, *self._waiting())
        callers = [message for message in messages if type(message) is Caller]
        callers += [message[1] for message in messages if type(message) is tuple and message[0] is SYSTEM]
        if extra is not None:
            callers += extra.deferred
            extra.deferred = set()
        return callers


def _callers(call: Caller) -> str:
    """Describe who waits for a call: a task; or a server, and who waits for the call that it handles."""
    chain: list[str] = []
    while len(chain) < MAX_CALLERS:
        server = None if call.client is None else served_by.get(call.client)
        if not isinstance(server, MessageLoop):
            chain.append(call.describe())
            break
        chain.append(f"server {server.name!r}")
        if type(server._current) is not Caller:  # noqa: SLF001 - of its own class
            break
        call = server._current  # noqa: SLF001 - as above
    return " < ".join(chain)
