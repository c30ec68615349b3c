"""GenServer: a process with state that handles one message at a time.

Subclass it; keep the state on `self`; every handler may be a plain or an async method:

- `init(*args, **kwargs)` runs before anything else. A plain one has run when `start` returns
  and makes `start` raise StartError where it raises; an async one is waited for with `ready`.
- `continue_with(x)`, in `init` or in any handler, has `handle_continue(x)` run before the next message.
- `handle_call(request, caller)` returns the reply, or NO_REPLY and calls `caller.reply(...)`
  later, from anywhere. `handle_cast(message)` and `handle_info(message)` return nothing.
- Raising Stop or Shutdown in a handler ends the server with that reason; any other exception
  is a crash. A call or a cast without a handler is a crash; an info without one is logged.
- `terminate(exit)` runs at the end, unless the server was killed.

Differences from OTP: a request to shut down goes before the messages that wait. A handler
that is running is let finish, as for a process that traps exits, until the limit of its
supervisor cancels it. Messages are passed by reference.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any, Self

from inprocess.supervision.clock import Clock, Timer
from inprocess.supervision.errors import (
    CallTimeoutError,
    ServerDiedError,
    StartError,
    UnhandledMessageError,
)
from inprocess.supervision.exits import SHUTDOWN, Exit, exit_of
from inprocess.supervision.process import Process, abandon, log
from inprocess.supervision.runtime import home_loop

#: Seconds that a call waits for its reply, OTP's default.
CALL_TIMEOUT_S = 5.0
#: Messages that a server handles before it lets the rest of the loop have a turn.
MESSAGES_PER_TURN = 100
#: Returned by `handle_call`: the reply comes later, by `caller.reply`.
NO_REPLY: Any = object()


class Caller:
    """Who waits for the reply to one call."""

    __slots__ = ("_loop", "_thread", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self.future: asyncio.Future[Any] = loop.create_future()

    def reply(self, value: object) -> None:
        """Answer the call; a second answer, or one after the time limit, is dropped. Any thread."""
        if threading.get_ident() == self._thread:
            self._set(value)
        else:
            self._loop.call_soon_threadsafe(self._set, value)

    def fail(self, error: Exception) -> None:
        """Make the call raise `error`. Loop's thread only."""
        if not self.future.done():
            self.future.set_exception(error)

    def _set(self, value: object) -> None:
        if not self.future.done():
            self.future.set_result(value)


class GenServer(Process):
    """Base of servers; see the module for the handlers. Made by `start`, never by its constructor."""

    _task: asyncio.Task[Exit]

    def __init__(self) -> None:
        super().__init__()
        self._mailbox: deque[tuple[str, Any, Caller | None]] = deque()
        self._callers: set[Caller] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._initialised = asyncio.Event()
        self._start_error: BaseException | None = None
        self._wanted: Exit | None = None
        self._killed = False

    @classmethod
    def start(cls, *args: Any, name: str | None = None, clock: Clock | None = None, **kwargs: Any) -> Self:
        """Start a server with `init(*args, **kwargs)` and return it. Callable from any thread.

        It lives on the running loop, or where there is none on the runtime's (see `home_loop`);
        then `start` waits for `init` in any case. Raise AlreadyStartedError where the name is
        taken and StartError where `init` fails.
        """
        server = cls()
        begin = partial(server._begin, name, clock, args, kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run_coroutine_threadsafe(_begin_and_wait(server, begin), home_loop()).result()
        else:
            begin()
        return server

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the state up."""

    def handle_continue(self, argument: Any) -> Any:
        """Do what `continue_with` asked for."""

    def handle_call(self, request: Any, _caller: Caller, /) -> Any:
        """Return the reply, or NO_REPLY."""
        raise UnhandledMessageError(f"{self.name} has no handle_call for {request!r}")

    def handle_cast(self, message: Any, /) -> Any:
        """Deal with a message that wants no reply."""
        raise UnhandledMessageError(f"{self.name} has no handle_cast for {message!r}")

    def handle_info(self, message: Any, /) -> Any:
        """Deal with a message that came outside of call and cast: timers, exits of others."""
        log.error("%s got an unexpected info and passed over it: %r", self.name, message)

    def terminate(self, ended: Exit, /) -> Any:
        """Clean up."""

    async def call(self, request: Any, *, timeout: float = CALL_TIMEOUT_S) -> Any:  # noqa: ASYNC109 - OTP's option, on the server's clock
        """Ask and wait for the reply, from a coroutine.

        Raise CallTimeoutError after `timeout` seconds, and ServerDiedError as soon as the
        server ends without having replied.
        """
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            there = asyncio.run_coroutine_threadsafe(self.call(request, timeout=timeout), self.loop)
            return await asyncio.wrap_future(there)
        if asyncio.current_task() is self._task:
            raise RuntimeError(f"{self.name} calls itself: it would wait for ever, so do the work in place")
        caller = Caller(loop)
        self._expect(caller)
        self._post("call", request, caller)
        late = CallTimeoutError(f"{self.name} did not reply within {timeout:g} s to {request!r}")
        timer = self.clock.call_later(timeout, lambda: caller.fail(late))
        try:
            return await caller.future
        finally:
            timer.cancel()
            self._callers.discard(caller)

    def call_from_thread(self, request: Any, *, timeout: float = CALL_TIMEOUT_S) -> Any:
        """As `call`, for a caller that is not on the loop's thread; raise RuntimeError on it."""
        if self.is_here:
            raise RuntimeError(f"{self.name}: on the loop's own thread, await call() instead")
        return asyncio.run_coroutine_threadsafe(self.call(request, timeout=timeout), self.loop).result()

    def cast(self, message: Any) -> None:
        """Send a message that wants no reply; nobody is told where the server has ended. Any thread."""
        self._send("cast", message)

    def info(self, message: Any) -> None:
        """Send a message to `handle_info`; nobody is told where the server has ended. Any thread."""
        self._send("info", message)

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Send an info to oneself in `seconds`, unless the timer is cancelled. Loop's thread only."""
        return self.clock.call_later(seconds, lambda: self._post("info", message, None))

    def continue_with(self, argument: Any) -> None:
        """Have `handle_continue(argument)` run before the next message."""
        self._mailbox.appendleft(("continue", argument, None))

    async def ready(self) -> None:
        """Wait until `init` has returned; raise StartError where it failed."""
        await self._initialised.wait()
        if self._start_error is not None:
            await self.wait()  # so that its name is free again
            raise StartError(f"{self.name} could not start: {self._start_error!r}") from self._start_error

    def shutdown(self) -> None:
        """End after the handler that is running, with reason shutdown."""
        self._wanted = self._wanted or SHUTDOWN
        self._wake()

    def kill(self) -> None:
        """End at the next await, without `terminate`."""
        self._killed = True
        self._task.cancel()

    def _begin(
        self, name: str | None, clock: Clock | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._bind(name, clock)
        try:
            pending = self.init(*args, **kwargs)
        except Exception as error:
            self._end(Exit("crash", error))
            raise StartError(f"{self.name} could not start: {error!r}") from error
        if not isawaitable(pending):
            self._initialised.set()
        self._task = self.loop.create_task(self._run(pending), name=self.name)
        self._task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Exit]) -> None:
        if task.cancelled():
            ended = SHUTDOWN if self._killed else Exit("crash", asyncio.CancelledError())
        else:
            error = task.exception()
            ended = task.result() if error is None else Exit("crash", error)
        if ended.kind == "crash" and self._start_error is None:
            log.error("%s crashed: %s", self.name, ended, exc_info=ended.error)
        self._end(ended)

    async def _run(self, pending: Awaitable[Any] | None) -> Exit:
        """Initialise, handle messages, terminate; return the exit."""
        try:
            if isawaitable(pending):
                await pending
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the start
            self._start_error = error
            return Exit("crash", error)
        finally:
            self._initialised.set()
        ended = await self._handle_all()
        try:
            await _result(self.terminate(ended))
        except Exception as error:  # noqa: BLE001 - the server ends either way
            log.exception("%s failed in terminate", self.name)
            ended = Exit("crash", error)
        return ended

    async def _handle_all(self) -> Exit:
        handled = 0
        try:
            while self._wanted is None:
                if not self._mailbox:
                    handled = 0
                    await self._message()
                    continue
                await self._handle(*self._mailbox.popleft())
                handled += 1
                if handled % MESSAGES_PER_TURN == 0:
                    await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the exit
            return exit_of(error)
        return self._wanted

    async def _handle(self, kind: str, message: Any, caller: Caller | None) -> None:
        if caller is not None:
            reply = await _result(self.handle_call(message, caller))
            if reply is not NO_REPLY:
                caller.reply(reply)
        elif kind == "cast":
            await _result(self.handle_cast(message))
        elif kind == "info":
            await _result(self.handle_info(message))
        else:
            await _result(self.handle_continue(message))
        if self._killed:  # the handler swallowed the cancellation
            raise asyncio.CancelledError

    async def _message(self) -> None:
        self._waiter = self.loop.create_future()
        await self._waiter

    def _send(self, kind: str, message: Any) -> None:
        if self.is_here:
            self._post(kind, message, None)
        else:
            self.loop.call_soon_threadsafe(self._post, kind, message, None)

    def _post(self, kind: str, message: Any, caller: Caller | None) -> None:
        self._mailbox.append((kind, message, caller))
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expect(self, caller: Caller) -> None:
        if self.exit is not None:
            raise ServerDiedError(f"{self.name} is not running: it ended with {self.exit}")
        self._callers.add(caller)

    def _abandon(self) -> None:
        abandon(self._task, self.name)
        self._end(SHUTDOWN)

    def _end(self, ended: Exit) -> None:
        super()._end(ended)
        self._initialised.set()
        self._mailbox.clear()
        for caller in self._callers:
            caller.fail(ServerDiedError(f"{self.name} ended before it replied: {ended}"))


async def _begin_and_wait(server: GenServer, begin: Callable[[], None]) -> None:
    begin()
    await server.ready()


async def _result(outcome: Any) -> Any:
    return await outcome if isawaitable(outcome) else outcome
