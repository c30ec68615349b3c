"""GenServer: a process with state that handles one message at a time.

Subclass it; keep the state on `self`; every handler may be a plain or an async method:

- `init(*args, **kwargs)` runs before anything else. A plain one has run when `start` returns
  and makes `start` raise StartError where it raises; an async one is waited for with `ready`.
  Raising Ignore says that there is nothing to run.
- `continue_with(x)`, in `init` or in any handler, has `handle_continue(x)` run before the next message.
- `handle_call(request, caller)` returns the reply, or NO_REPLY and calls `caller.reply(...)`
  later, from anywhere. `handle_cast(message)` and `handle_info(message)` return nothing.
- Raising Stop or Shutdown in a handler ends the server with that reason; any other exception
  is a crash. A call or a cast without a handler is a crash; an info without one is logged.
- `terminate(exit)` runs at the end, unless the server was killed.
- `format_status(status)` decides what of its state and messages logs may show.

Plain handlers cost no asyncio task, and an idle server none either; see `engine`. A crash is
logged with the last message, who called, the supervisors above and the state.

Differences from OTP: a request to shut down goes before the messages that wait. A handler
that is running is let finish, as for a process that traps exits, until the limit of its
supervisor cancels it; an async `init` is cancelled at once. `stop` kills at its limit, where
OTP's leaves the server alone. Messages are passed by reference.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import Any, Self, TypeVar, cast

from inprocess.supervision.core.clock import Clock, Timer
from inprocess.supervision.core.errors import ServerDiedError, StartError
from inprocess.supervision.core.exits import NORMAL, SHUTDOWN, Exit, Ignore, killed
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import ShutdownLimit
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.servers.call import Caller, Question
from inprocess.supervision.servers.deadlines import deadlines
from inprocess.supervision.servers.instrumentation import is_awaitable
from inprocess.supervision.servers.mailbox import BUSY, CAST, INFO, STARTING, SYSTEM, Message
from inprocess.supervision.servers.message_loop import NO_REPLY, Engine, origin

__all__ = ["CALL_TIMEOUT_S", "NO_REPLY", "Caller", "GenServer"]

#: Seconds that a call waits for its reply, OTP's default.
CALL_TIMEOUT_S = 5.0

T = TypeVar("T")


class GenServer(Engine):
    """Base of servers; see the module for the handlers. Made by `start`, never by its constructor."""

    __slots__ = ()

    @classmethod
    def start(cls, *args: Any, name: str | None = None, clock: Clock | None = None, **kwargs: Any) -> Self:
        """Start a server with `init(*args, **kwargs)` and return it. Callable from any thread.

        It lives on the running loop, or where there is none on the runtime's (see `home_loop`);
        then `start` waits for `init` in any case. Raise AlreadyStartedError where the name is
        taken, StartError where `init` fails, and Ignore where `init` raises that.
        """
        server = cls()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            begin = partial(server._begin, name, clock, args, kwargs)
            asyncio.run_coroutine_threadsafe(_begin_and_wait(server, begin), home_loop()).result()
        else:
            server._begin(name, clock, args, kwargs)
        return server

    async def ready(self) -> None:
        """Wait until `init` has returned; raise StartError where it failed, and Ignore where it did that."""
        if self._state == STARTING:
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

    async def call(self, request: Any, *, timeout: float = CALL_TIMEOUT_S) -> Any:  # noqa: ASYNC109 - OTP's option, on the server's clock
        """Ask and wait for the reply, from a coroutine.

        Raise CallTimeoutError after `timeout` seconds, and ServerDiedError as soon as the
        server ends without having replied. A server that awaits its own call gets RuntimeError.
        """
        scheduler = self.scheduler
        loop = asyncio.get_running_loop()
        if loop is not scheduler.loop:
            return await self._there(partial(self.call, request, timeout=timeout))
        caller = Caller(self, request, asyncio.current_task(loop))
        if self._task is not None or self.exit is not None:
            self._check(caller)
        self._post(caller)
        waiting = scheduler.deadlines.get(timeout) or deadlines(scheduler, timeout)
        if waiting is not None:
            waiting.add(caller)
        try:
            return await caller.future
        finally:
            if waiting is not None:
                waiting.discard(caller)
            if self.extra is not None:
                self.extra.deferred.discard(caller)

    async def call_system(self, function: Callable[[Any], T], timeout: float) -> T:  # noqa: ASYNC109 - as call
        """Have `function(server)` called between two messages and return its result; for `sys`.

        What it raises is raised here, and the server goes on. Errors as those of `call`.
        """
        if asyncio.get_running_loop() is not self.loop:
            return cast("T", await self._there(partial(self.call_system, function, timeout)))
        question = Question(self, function, asyncio.current_task())
        self._check(question)
        self._post_system((SYSTEM, question))
        waiting = deadlines(self.scheduler, timeout)
        if waiting is not None:
            waiting.add(question)
        try:
            return cast("T", await question.future)
        finally:
            if waiting is not None:
                waiting.discard(question)

    def call_from_thread(self, request: Any, *, timeout: float = CALL_TIMEOUT_S) -> Any:
        """As `call`, for a caller that is not on the loop's thread; raise RuntimeError on it."""
        if self.is_here:
            raise RuntimeError(f"{self.name}: on the loop's own thread, await call() instead")
        return asyncio.run_coroutine_threadsafe(self.call(request, timeout=timeout), self.loop).result()

    def cast(self, message: Any) -> None:
        """Send a message that wants no reply; nobody is told where the server has ended. Any thread."""
        if get_ident() == self.scheduler.thread:
            there = self._mailbox
            if type(there) is deque:  # the quick way for a burst: somebody is on the way
                there.append((CAST, message))
            else:
                self._post((CAST, message))
        else:
            self._send((CAST, message))

    def info(self, message: Any) -> None:
        """Send a message to `handle_info`; nobody is told where the server has ended. Any thread."""
        if get_ident() == self.scheduler.thread:
            self._post((INFO, message))
        else:
            self._send((INFO, message))

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Send an info to oneself in `seconds`, unless the timer is cancelled. Loop's thread only."""
        return self.scheduler.call_later(seconds, partial(self._post, (INFO, message)))

    async def stop(self, limit: ShutdownLimit | None = None, *, reason: Exit = SHUTDOWN) -> None:
        """End it with that reason and wait; kill it after `limit` seconds (`shutdown_limit` unless given).

        A reason of kind crash is logged, and has its supervisor restart it as any crash does.
        """
        if limit != "brutal_kill":
            self._ask(reason)
        await super().stop(limit)

    async def _there(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Call on the server's own loop, from another one."""
        if self.loop.is_closed():
            raise ServerDiedError(f"{self.name} is not running: its loop has ended")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self.loop))

    def _send(self, message: Message) -> None:
        """Post from another thread."""
        with suppress(RuntimeError):  # its loop has ended, and so has the server
            self.loop.call_soon_threadsafe(self._post, message)

    def _check(self, caller: Caller) -> None:
        if caller.client is self._task and self._task is not None:
            raise RuntimeError(f"{self.name} calls itself: it would wait for ever, so do the work in place")
        if self.exit is not None:
            raise ServerDiedError(f"{self.name} is not running: it ended with {self.exit}")

    # How it starts.

    def _begin(
        self, name: str | None, clock: Clock | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._bind(name, clock)
        try:
            pending = self.init(*args, **kwargs)
        except Ignore:
            self._end(NORMAL)
            raise
        except Exception as error:
            self._end(Exit("crash", error))
            raise StartError(f"{self.name} could not start: {error!r}") from error
        self._context = origin()
        if pending is not None and is_awaitable(pending):
            self._state = STARTING
            self._give_task(self._initialise(pending), pending, eagerly=False)
        elif self.extra is not None:
            self._wake()  # init may have put something off

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
        self._state = BUSY
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


async def _begin_and_wait(server: GenServer, begin: Callable[[], None]) -> None:
    begin()
    await server.ready()
