"""MessageLoop: the process of a GenServer. It has the mailbox, empties it, and ends.

How messages are handled, without a task for as long as nothing awaits:

1. A message is put into the mailbox; the first one queues a step on the scheduler.
2. The step handles what waits, MESSAGES_PER_TURN at most, then queues itself again or rests.
3. A handler that awaits gets an asyncio task. The task finishes it, goes on with the mailbox,
   and ends when that is empty. Where Python has eager tasks (3.12), one that does not have to
   wait costs no turn of the loop.

How it ends: asked to, by its own handler, cancelled or killed.

1. `_wanted` says that it is to end, and how. It goes before the messages that wait.
2. `terminate` runs, unless the server was killed. Where it fails, that is the exit.
3. A crash is logged.
4. `_end`: the name is free, monitors are told, and all who wait for a reply fail at once.

So an idle server is two objects with slots: no task, no event, no deque. The mailbox is empty as
None, one message as itself and a deque only for more, since an empty deque is 600 bytes.

Handlers run in a context (`contextvars`) of the server's own, copied from who started it. Until its
first message a server shares it with the others that were started from the same one.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from logging import ERROR
from typing import Any, Final, Protocol, TypeVar, cast
from weakref import ReferenceType, ref

from inprocess.supervision.core.clock import Clock, settle
from inprocess.supervision.core.errors import ServerDiedError, StartError
from inprocess.supervision.core.exits import NORMAL, SHUTDOWN, Exit, Ignore, exit_of, killed
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import BaseProcess, Held, Process, ShutdownLimit, abandon, ancestors
from inprocess.supervision.core.telemetry import attached
from inprocess.supervision.servers.call import Caller, Question
from inprocess.supervision.servers.deadlines import deadlines
from inprocess.supervision.servers.debug import Debug
from inprocess.supervision.servers.instrumentation import is_awaitable, observed, terminate_in_span
from inprocess.supervision.servers.server_report import log_crash, state_of

#: Messages that a server handles before it lets the rest of the loop have a turn.
MESSAGES_PER_TURN: Final = 100
#: Returned by `handle_call`: the reply comes later, by `caller.reply`.
NO_REPLY: Final[Any] = object()

#: Kinds of messages. A call is its Caller; anything else a pair of its kind and what was sent: for
#: SYSTEM a Question.
CAST: Final = "cast"
INFO: Final = "info"
CONTINUE: Final = "continue"
SYSTEM: Final = "system"
Message = Caller | tuple[str, Any]

IDLE: Final = 0  #: Nothing waits.
QUEUED: Final = 1  #: The scheduler has the step.
BUSY: Final = 2  #: A step or a task is under way and will look into the mailbox.
STARTING: Final = 3  #: An async init is under way.
SUSPENDED: Final = 4  #: As idle, but only system messages are handled.
ENDED: Final = 5

T = TypeVar("T")


class Server(Protocol):
    """What the author of a GenServer writes: its handlers, see `gen_server`."""

    @property
    def shutdown_limit(self) -> ShutdownLimit:
        """How long a supervisor waits for it."""

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the state up."""

    def handle_continue(self, argument: Any) -> Any:
        """Do what was put off."""

    def handle_call(self, request: Any, caller: Caller, /) -> Any:
        """Return the reply, or NO_REPLY."""

    def handle_cast(self, message: Any, /) -> Any:
        """Deal with a message that wants no reply."""

    def handle_info(self, message: Any, /) -> Any:
        """Deal with any other message."""

    def terminate(self, ended: Exit, /) -> Any:
        """Clean up."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return what may be shown of these values."""

    def quiet(self) -> None:
        """Take no new work."""

    async def idle(self) -> None:
        """Wait until no work is held."""

    def held(self) -> Sequence[Held]:
        """The work that is held."""


class Extra:
    """What few servers need, made when one does."""

    __slots__ = ("continues", "debug", "deferred", "killed", "start_error", "suspended", "waiters")

    def __init__(self) -> None:
        #: Arguments of `continue_with`, the oldest first.
        self.continues: list[Any] = []
        #: Who records what the server does, see `sys`.
        self.debug: Debug | None = None
        #: Calls whose reply comes later.
        self.deferred: set[Caller] = set()
        self.killed = False
        self.start_error: BaseException | None = None
        self.suspended = False
        #: Who waits for an async init.
        self.waiters: list[asyncio.Future[None]] = []

    def replied(self, caller: Caller, value: object) -> None:
        """Note that a call was answered."""
        self.deferred.discard(caller)
        if self.debug is not None:
            self.debug.replied(value, caller.describe)

    def wake(self) -> None:
        """Wake who waits for the init."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            settle(waiter)


class Origin:
    """The context of who started some servers, as it was then. To be copied and never entered."""

    __slots__ = ("__weakref__", "context")

    def __init__(self, context: Context) -> None:
        self.context = context


_last: ReferenceType[Origin] | None = None


def origin() -> Origin:
    """The caller's context; the same object as the last time where that is equal."""
    global _last  # noqa: PLW0603 - a cache of one
    now = copy_context()
    known = None if _last is None else _last()
    if known is None or known.context != now:
        known = Origin(now)
        _last = ref(known)
    return known


class MessageLoop(BaseProcess):
    """See the module. Made and begun by `GenServer.start`; on its loop's thread, unless it says otherwise."""

    __slots__ = ("_context", "_current", "_wanted", "extra", "mailbox", "server", "state", "task")

    _context: Origin | Context

    def __init__(self, server: Server) -> None:
        self.exit = self._monitors = None  # as Ending does, without the call
        #: Whose handlers are called.
        self.server = server
        self.mailbox: Message | deque[Message] | None = None
        #: The message that is being handled.
        self._current: Message | None = None
        #: One of IDLE to ENDED.
        self.state: int = IDLE
        #: The end that was asked for.
        self._wanted: Exit | None = None
        #: What finishes a handler that awaits, or an async init.
        self.task: asyncio.Task[None] | None = None
        self.extra: Extra | None = None

    @property
    def handle(self) -> Process:
        """The GenServer."""
        return cast("Process", self.server)

    @property
    def name(self) -> str:
        """The unique name it was started with, else the class of the server."""
        return self._name or type(self.server).__qualname__

    @property
    def shutdown_limit(self) -> ShutdownLimit:  # type: ignore[override]  # the server's, of its class or its own
        """How long a supervisor waits for it."""
        return self.server.shutdown_limit

    @property
    def condition(self) -> str:
        """What it is doing, while it has not ended: starting, running, suspended or stopping."""
        if self._wanted is not None:
            return "stopping"
        if self.state == STARTING:
            return "starting"
        return "suspended" if self.extra is not None and self.extra.suspended else "running"

    # Hooks of the server's class: an attribute of the server itself by such a name is its author's.

    def quiet(self) -> None:
        """As the server's class says."""
        type(self.server).quiet(self.server)

    async def idle(self) -> None:
        """As the server's class says."""
        await type(self.server).idle(self.server)

    def held(self) -> Sequence[Held]:
        """As the server's class says."""
        return type(self.server).held(self.server)

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """As the server says."""
        return self.server.format_status(status)

    # How it starts.

    def begin(
        self, name: str | None, clock: Clock | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Run `init`; raise StartError where it fails, Ignore where it does that."""
        self._bind(name, clock)
        try:
            pending = self.server.init(*args, **kwargs)
        except Ignore:
            self._end(NORMAL)
            raise
        except Exception as error:
            self._end(Exit("crash", error))
            raise StartError(f"{self.name} could not start: {error!r}") from error
        self._context = origin()
        if pending is not None and is_awaitable(pending):
            self.state = STARTING
            self._give_task(self._initialise(pending), pending, eagerly=False)
        elif self.extra is not None:
            self._wake()  # init may have put something off

    async def ready(self) -> None:
        """As `Process.ready`; raise Ignore where `init` did."""
        if self.state == STARTING:
            waiter = self.loop.create_future()
            self.more().waiters.append(waiter)
            await waiter
        error = None if self.extra is None else self.extra.start_error
        if isinstance(error, Ignore):
            raise error
        if isinstance(error, asyncio.CancelledError):
            raise StartError(f"{self.name} was told to end before it had started")
        if error is not None:
            raise StartError(f"{self.name} could not start: {error!r}") from error

    async def _initialise(self, pending: Awaitable[Any]) -> None:
        error: BaseException | None = None
        try:
            await pending
        except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - handed to who waits for the start
            error = raised
        if self.exit is not None:  # it was abandoned
            return
        if error is not None:
            self._start_failed(error)
            return
        self.state = BUSY
        if self.extra is not None:
            self.extra.wake()
        await self._go_on(None, None)

    def _start_failed(self, error: BaseException) -> None:
        extra = self.more()
        extra.start_error = error
        if isinstance(error, asyncio.CancelledError):
            self._end(self._wanted or killed())
            return
        if not isinstance(error, Ignore) and not extra.waiters:  # else who waits is told
            log.error("%s could not start: %r", self.name, error, exc_info=error)
        self._end(NORMAL if isinstance(error, Ignore) else Exit("crash", error))

    # The mailbox.

    @property
    def mailbox_depth(self) -> int:
        """How many messages wait, the one that is being handled not counted. Any thread."""
        there, extra = self.mailbox, self.extra
        promised = 0 if extra is None else len(extra.continues)
        if there is None:
            return promised
        return promised + (len(there) if type(there) is deque else 1)

    def more(self) -> Extra:
        """Its Extra, made where it has none."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def post(self, message: Message) -> None:
        """Put a message into the mailbox; nothing where it has ended."""
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
            self._wake()

    def post_from_thread(self, message: Message) -> None:
        """As `post`, from another thread."""
        with suppress(RuntimeError):  # its loop has ended, and so has the server
            self.loop.call_soon_threadsafe(self.post, message)

    def put_off(self, argument: Any) -> None:
        """Have `handle_continue(argument)` run before the next message."""
        self.more().continues.append(argument)
        self._wake()

    def refuse(self, caller: Caller) -> None:
        """Raise what a call raises that can have no reply: RuntimeError for one's own, ServerDiedError."""
        if caller.client is self.task and self.task is not None:
            raise RuntimeError(f"{self.name} calls itself: it would wait for ever, so do the work in place")
        if self.exit is not None:
            raise ServerDiedError(f"{self.name} is not running: it ended with {self.exit}")

    async def call_system(self, function: Callable[[Any], T], timeout: float) -> T:  # noqa: ASYNC109 - as GenServer.call
        """Have `function(server)` called between two messages and return its result; for `sys`.

        What it raises is raised here, and the server goes on. Errors as those of `GenServer.call`.
        """
        if asyncio.get_running_loop() is not self.loop:
            return cast("T", await self.on_its_loop(partial(self.call_system, function, timeout)))
        question = Question(self, partial(function, self.server), asyncio.current_task())
        self.refuse(question)
        self.post((SYSTEM, question))
        if self.state == SUSPENDED:
            self._wake()
        waiting = deadlines(self.scheduler, timeout)
        if waiting is not None:
            waiting.add(question)
        try:
            return cast("T", await question.future)
        finally:
            if waiting is not None:
                waiting.discard(question)

    async def on_its_loop(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Await a call on its own loop, from another one."""
        if self.loop.is_closed():
            raise ServerDiedError(f"{self.name} is not running: its loop has ended")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self.loop))

    def _wake(self) -> None:
        if self.state == IDLE or self.state == SUSPENDED:  # noqa: PLR1714 - quicker than a set
            self.state = QUEUED
            try:
                self.scheduler.soon(self._step)
            except RuntimeError:
                if not self.loop.is_closed():
                    raise
                self._end(SHUTDOWN)  # its loop ended before it did

    def _rest(self) -> None:
        extra = self.extra
        self.state = IDLE if extra is None or not extra.suspended else SUSPENDED

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
        """Call the message's handler; return what is to be awaited where it does that."""
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
        """Reply with what a `handle_call` returned; what others return is nothing."""
        message = self._current
        if type(message) is Caller:
            if outcome is not NO_REPLY:
                message.answer(outcome)
            elif not message.future.done():
                self.more().deferred.add(message)

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
        left = context.run(self._handle_some)
        if left is not None:
            self._give_task(self._go_on(*left), left[0])

    def _handle_some(self) -> tuple[Awaitable[Any], Exit | None] | None:
        """Handle messages until none waits, one awaits, or this turn's share is used.

        Return what is to be awaited, and the exit where that is `terminate`.
        """
        server = self.server
        try:
            for _ in range(MESSAGES_PER_TURN):
                if self._wanted is not None:
                    return self._leave(self._wanted)
                message = self._current = self._next()
                if message is None:
                    self._rest()
                    return None
                if attached or self.extra is not None:
                    pending = self._handle(message)
                elif type(message) is tuple and message[0] is CAST:  # the quick way for a burst
                    pending = server.handle_cast(message[1])
                    if pending is None or not is_awaitable(pending):
                        continue
                else:
                    pending = self._dispatch(message)
                if pending is not None:
                    return pending, None
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - what a handler raises is the exit
            return self._leave(exit_of(error))
        except BaseException as error:
            self._finish(Exit("crash", error))
            raise
        self.state = QUEUED
        self.scheduler.soon(self._step)
        return None

    async def _go_on(self, pending: Awaitable[Any] | None, ended: Exit | None) -> None:
        """Finish what awaits, go on until the mailbox is empty, and end where that is wanted."""
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

    async def _handle_all(self, pending: Awaitable[Any] | None) -> Exit | None:
        """Handle messages until none waits; return the exit where it is to end."""
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
        except Exception as error:  # noqa: BLE001 - as in _handle_some
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
            task.add_done_callback(partial(self._task_ended, pending))

    def _task_ended(self, pending: object, task: asyncio.Task[None]) -> None:
        if self.task is not task:  # it did its work
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
        """End after the handler that is running, with reason shutdown; an async init is cancelled."""
        self.ask(SHUTDOWN)

    def ask(self, ended: Exit) -> None:
        """As `shutdown`, with this reason."""
        if self._wanted is None and self.exit is None:
            self._wanted = ended
            if self.state == STARTING and self.task is not None:
                self.task.cancel()
            self._wake()

    def kill(self) -> None:
        """End at the next await, without `terminate`; at once where nothing is awaited. Exit: killed."""
        if self.exit is not None:
            return
        self.more().killed = True
        self._wanted = killed()
        if self.task is not None:
            self.task.cancel()
        elif self.state != BUSY:  # else its own plain handler kills it, and is let return
            self._end(self._wanted)

    def _leave(self, ended: Exit) -> tuple[Awaitable[Any], Exit] | None:
        """Run `terminate`, then end; return what is to be awaited before that."""
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
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the server ends either way
            ended = Exit("crash", error)
        self._finish(ended)
        return None

    async def _leave_after(self, pending: Awaitable[Any], ended: Exit) -> None:
        try:
            await pending
        except Exception as error:  # noqa: BLE001 - the server ends either way
            ended = Exit("crash", error)
        self._finish(ended)

    def _cancelled(self) -> None:
        """Its task was cancelled: by `kill`, or by somebody else, which counts as a crash."""
        if self.extra is not None and self.extra.killed and self._wanted is not None:
            self._end(self._wanted)
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
            kind, payload, client = "call", message.request, message.describe()
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
        super()._end(ended)
        for caller in callers:
            error = ServerDiedError(f"{self.name} ended before it replied: {ended}")
            error.__cause__ = ended.error
            caller.fail(error)
        for waiting in list(self.scheduler.deadlines.values()):
            waiting.release()
        if self.extra is not None:
            self.extra.wake()

    def _callers(self) -> list[Caller]:
        """Who waits for a reply: in the mailbox, under way, or put off."""
        extra = self.extra
        messages = (self._current, *self._waiting())
        callers = [message for message in messages if type(message) is Caller]
        callers += [message[1] for message in messages if type(message) is tuple and message[0] is SYSTEM]
        if extra is not None:
            callers += extra.deferred
            extra.deferred = set()
        return callers
