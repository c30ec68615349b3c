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

Attributes are the author's: whatever a handler sets on `self`, under any name, is a part of the
server's state and nothing of the runtime's, which keeps its own in `__process__`. A name that has a
meaning (`self.name`, `self.exit`, `self.scheduler`) has the author's from then on. Methods are
reserved: a class that defines `call` or `stop` replaces it.

Plain handlers cost no asyncio task, and an idle server none either; see `message_loop`. A crash is
logged with the last message, who called, the supervisors above and the state.

Differences from OTP: a request to shut down goes before the messages that wait. A handler
that is running is let finish, as for a process that traps exits, until the limit of its
supervisor cancels it; an async `init` is cancelled at once. `stop` kills at its limit, where
OTP's leaves the server alone. Messages are passed by reference.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self

from inprocess.supervision.core.clock import Clock, Timer
from inprocess.supervision.core.errors import UnhandledMessageError
from inprocess.supervision.core.exits import SHUTDOWN, Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import Process, ProcessAttribute, ShutdownLimit
from inprocess.supervision.core.redact import redact
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.servers.call import Caller
from inprocess.supervision.servers.deadlines import deadlines
from inprocess.supervision.servers.message_loop import CAST, INFO, NO_REPLY, MessageLoop
from inprocess.supervision.servers.server_report import redacted_message

__all__ = ["CALL_TIMEOUT_S", "NO_REPLY", "Caller", "GenServer"]

#: Seconds that a call waits for its reply, OTP's default.
CALL_TIMEOUT_S = 5.0


class GenServer(Process):
    """Base of servers; see the module for the handlers. Made by `start`, never by its constructor."""

    __slots__ = ("__process__", "__weakref__")

    #: Its message loop, and all that the runtime knows of it.
    __process__: MessageLoop

    @classmethod
    def start(cls, *args: Any, name: str | None = None, clock: Clock | None = None, **kwargs: Any) -> Self:
        """Start a server with `init(*args, **kwargs)` and return it. Callable from any thread.

        It lives on the running loop, or where there is none on the runtime's (see `home_loop`);
        then `start` waits for `init` in any case. Raise AlreadyStartedError where the name is
        taken, StartError where `init` fails, and Ignore where `init` raises that.
        """
        server = cls()
        process = server.__process__ = MessageLoop(server)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            begin = partial(process.begin, name, clock, args, kwargs)
            asyncio.run_coroutine_threadsafe(_begin_and_wait(process, begin), home_loop()).result()
        else:
            process.begin(name, clock, args, kwargs)
        return server

    # Handlers: what the author writes, and what happens where nothing was written.

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the state up."""

    def handle_continue(self, argument: Any) -> Any:
        """Do what `continue_with` asked for."""

    def handle_call(self, request: Any, _caller: Caller, /) -> Any:
        """Return the reply, or NO_REPLY."""
        raise _unhandled(self, "handle_call", request)

    def handle_cast(self, message: Any, /) -> Any:
        """Deal with a message that wants no reply."""
        raise _unhandled(self, "handle_cast", message)

    def handle_info(self, message: Any, /) -> Any:
        """Deal with a message that came outside of call and cast: timers, exits of others."""
        process = self.__process__
        log.error(
            "%s got an unexpected info and passed over it: %s",
            process.name,
            redacted_message(process, message),
        )

    def terminate(self, ended: Exit, /) -> Any:
        """Clean up."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return what logs and `sys` may show of these values; each by `redact` unless overridden.

        Keys, where they are known: `state` (the server's attributes), `message` (the one that is
        being handled) and `reason` (the error). A value that is no text is shown by `redact`.
        """
        return {key: redact(value) for key, value in status.items()}

    # What others ask of it.

    async def call(self, request: Any, *, timeout: float = CALL_TIMEOUT_S) -> Any:  # noqa: ASYNC109 - OTP's option, on the server's clock
        """Ask and wait for the reply, from a coroutine.

        Raise CallTimeoutError after `timeout` seconds, and ServerDiedError as soon as the
        server ends without having replied. A server that awaits its own call gets RuntimeError.
        """
        process = self.__process__
        scheduler = process.scheduler
        loop = asyncio.get_running_loop()
        if loop is not scheduler.loop:
            return await process.on_its_loop(partial(self.call, request, timeout=timeout))
        caller = Caller(process, request, asyncio.current_task(loop))
        if process.task is not None or process.exit is not None:
            process.refuse(caller)
        process.post(caller)
        waiting = scheduler.deadlines.get(timeout) or deadlines(scheduler, timeout)
        if waiting is not None:
            waiting.add(caller)
        try:
            return await caller.future
        finally:
            if waiting is not None:
                waiting.discard(caller)
            if process.extra is not None:
                process.extra.deferred.discard(caller)

    def call_from_thread(self, request: Any, *, timeout: float = CALL_TIMEOUT_S) -> Any:
        """As `call`, for a caller that is not on the loop's thread; raise RuntimeError on it."""
        process = self.__process__
        if process.is_here:
            raise RuntimeError(f"{process.name}: on the loop's own thread, await call() instead")
        return asyncio.run_coroutine_threadsafe(self.call(request, timeout=timeout), process.loop).result()

    def cast(self, message: Any) -> None:
        """Send a message that wants no reply; nobody is told where the server has ended. Any thread."""
        process = self.__process__
        if get_ident() == process.scheduler.thread:
            there = process.mailbox
            if type(there) is deque:  # the quick way for a burst: somebody is on the way
                there.append((CAST, message))
            else:
                process.post((CAST, message))
        else:
            process.post_from_thread((CAST, message))

    def info(self, message: Any) -> None:
        """Send a message to `handle_info`; nobody is told where the server has ended. Any thread."""
        process = self.__process__
        if get_ident() == process.scheduler.thread:
            process.post((INFO, message))
        else:
            process.post_from_thread((INFO, message))

    if TYPE_CHECKING:

        @property
        def mailbox_depth(self) -> int:
            """How many messages wait, the one that is being handled not counted. Any thread."""

    else:
        mailbox_depth = ProcessAttribute()

    async def stop(self, limit: ShutdownLimit | None = None, *, reason: Exit = SHUTDOWN) -> None:
        """End it with that reason and wait; kill it after `limit` seconds (`shutdown_limit` unless given).

        A reason of kind crash is logged, and has its supervisor restart it as any crash does.
        """
        process = self.__process__
        if limit != "brutal_kill":
            process.ask(reason)
        await process.stop(limit)

    # What it asks of itself.

    def continue_with(self, argument: Any) -> None:
        """Have `handle_continue(argument)` run before the next message; several run in their order."""
        self.__process__.put_off(argument)

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Send an info to oneself in `seconds`, unless the timer is cancelled. Loop's thread only."""
        process = self.__process__
        return process.scheduler.call_later(seconds, partial(process.post, (INFO, message)))


def _unhandled(server: GenServer, handler: str, message: object) -> UnhandledMessageError:
    process = server.__process__
    return UnhandledMessageError(f"{process.name} has no {handler} for {redacted_message(process, message)}")


async def _begin_and_wait(process: MessageLoop, begin: Callable[[], None]) -> None:
    begin()
    await process.ready()
