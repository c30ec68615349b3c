"""GenServer: a process with state that handles one message at a time.

Subclass it, keep the state on `self`, and write plain or async handlers:

- `init(*args, **kwargs)` runs first. A plain `init` is done when `start` returns, and `start` raises
  StartError if it raises; wait for an async `init` with `ready`. Raise Ignore if there is nothing
  to run.
- `continue_with(x)`, in `init` or in any handler, runs `handle_continue(x)` before the next message.
- `handle_call(request, caller)` returns the reply, or returns NO_REPLY and calls `caller.reply(...)`
  later, from anywhere. `handle_cast(message)` and `handle_info(message)` return nothing.
- Stop or Shutdown, raised in a handler, end the server with that reason; any other exception is a
  crash. A call or a cast without a handler is a crash; an info without one is logged.
- `send_after`, `send_at`, `set_idle_timeout` and `send_down` make messages for `handle_info`.
- `terminate(exit)` runs at the end, unless the server is killed.
- `format_status(status)` decides what logs may show of state and messages.

All attributes are the author's: what a handler sets on `self`, under any name, is state of the server
and of no use to the runtime, which keeps its own state in `__process__`. A documented attribute
(`self.name`, `self.exit`, `self.scheduler`) that a handler sets has the new value from then on.
Methods are the runtime's: a class that defines `call` or `stop` replaces them for its users, and
supervisors do not call the replacement. Clean up in `terminate`.

Plain handlers need no asyncio task, and an idle server has none; see `message_loop`. A crash is
logged with the last message, its caller, the supervisors above and the state.

Differences from OTP: a request to shut down is handled before the messages that wait. A running
handler may finish, as in a process that traps exits, until the supervisor's limit cancels it; an
async `init` is cancelled at once. `stop` kills at its limit, where OTP's only gives up waiting.
Messages are passed by reference.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self

from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.errors import UnhandledMessageError
from inprocess.supervision.core.exits import SHUTDOWN, Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import Ending, Process, ProcessAttribute, ShutdownLimit, check_limit
from inprocess.supervision.core.redact import redact
from inprocess.supervision.core.thread_bridge import across, wait_on
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.servers.call import Caller
from inprocess.supervision.servers.deadlines import deadlines
from inprocess.supervision.servers.down import Down, Monitor
from inprocess.supervision.servers.message_loop import CAST, IDLE, INFO, NO_REPLY, MessageLoop
from inprocess.supervision.servers.server_report import redacted_message
from inprocess.supervision.servers.timers import TIMEOUT, MessageTimer

__all__ = ["CALL_TIMEOUT_S", "NO_REPLY", "TIMEOUT", "Caller", "Down", "GenServer", "MessageTimer", "Monitor"]

#: Seconds that a call waits for its reply. OTP's default.
CALL_TIMEOUT_S = 5.0


class GenServer(Process):
    """Base class of servers; see the module for the handlers. Create one with `start`."""

    __slots__ = ("__process__", "__weakref__")

    #: Its message loop, with all state of the runtime.
    __process__: MessageLoop

    @classmethod
    def start(cls, *args: Any, name: str | None = None, clock: Clock | None = None, **kwargs: Any) -> Self:
        """Start a server with `init(*args, **kwargs)` and return it. Any thread.

        It lives on the running loop. Without a running loop it lives on the runtime's (see `home_loop`), and
        `start` waits for an async `init` too. Raise AlreadyStartedError if the name is taken, StartError if
        `init` fails, and Ignore if `init` raises it.
        """
        server = cls()
        process = server.__process__ = MessageLoop(server)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            begin = partial(process.begin, name, clock, args, kwargs)
            wait_on(home_loop(), partial(_begin_and_wait, process, begin))
        else:
            process.begin(name, clock, args, kwargs)
        return server

    # Handlers, to be overridden.

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set up the state."""

    def handle_continue(self, argument: Any) -> Any:
        """Handle the argument of `continue_with`."""

    def handle_call(self, request: Any, _caller: Caller, /) -> Any:
        """Return the reply, or NO_REPLY."""
        raise _unhandled(self, "handle_call", request)

    def handle_cast(self, message: Any, /) -> Any:
        """Handle a message without a reply."""
        raise _unhandled(self, "handle_cast", message)

    def handle_info(self, message: Any, /) -> Any:
        """Handle a message that is neither call nor cast: of timers, monitors, other code."""
        process = self.__process__
        log.error(
            "%s got an unexpected info and passed over it: %s",
            process.name,
            redacted_message(process, message),
        )

    def terminate(self, ended: Exit, /) -> Any:
        """Clean up."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return what logs and `sys` may show of these values; by default, each passed to `redact`.

        The keys are `state` (the server's attributes), `message` (the one being handled) and `reason` (the
        error), as far as they are known. A returned value that is not a string is passed to `redact`.
        """
        return {key: redact(value) for key, value in status.items()}

    # For clients.

    async def call(self, request: Any, *, timeout: float | None = CALL_TIMEOUT_S) -> Any:  # noqa: ASYNC109 - OTP's option, on the server's clock
        """Send a request and wait for the reply, from a coroutine on any loop.

        Raise CallTimeoutError after `timeout` seconds (None waits without limit), ServerDiedError as soon as
        the server, or its loop, ends without a reply, and RuntimeError if a server calls itself.
        """
        process = self.__process__
        scheduler = process.scheduler
        loop = asyncio.get_running_loop()
        if loop is not scheduler.loop:
            return await process.on_its_loop(partial(self.call, request, timeout=timeout), timeout)
        caller = Caller(process, request, asyncio.current_task(loop))
        if process.task is not None or process.exit is not None:
            process.refuse(caller)
        waiting = scheduler.deadlines.get(timeout) or deadlines(scheduler, timeout)  # type: ignore[arg-type]  # no key is None
        if waiting is not None:
            waiting.add(caller)
        if process.state == IDLE and process.mailbox is None:  # as `post`, without the call
            process.mailbox = caller
            process.wake()
        else:
            process.post(caller)
        try:
            return await caller.future
        finally:
            if waiting is not None:
                waiting.due.pop(caller, None)  # as `discard`, without the call
            if process.extra is not None:
                process.extra.deferred.discard(caller)

    def call_from_thread(self, request: Any, *, timeout: float | None = CALL_TIMEOUT_S) -> Any:
        """Like `call`, from another thread than the loop's; raise RuntimeError on the loop's own.

        The timeout holds whatever the loop does.
        """
        process = self.__process__
        if process.is_here:
            raise RuntimeError(f"{process.name}: on the loop's own thread, await call() instead")
        return process.from_thread(partial(self.call, request, timeout=timeout), timeout)

    def cast(self, message: Any) -> None:
        """Send a message without a reply. Ignored, without an error, if the server has ended. Any thread."""
        process = self.__process__
        if get_ident() == process.scheduler.runs_on._thread_id:  # noqa: SLF001 - see `Scheduler.is_here`
            there = process.mailbox
            if type(there) is deque:  # fast path for a burst: a step is queued already
                there.append((CAST, message))
            else:
                process.post((CAST, message))
        else:
            process.post_from_thread((CAST, message))

    def info(self, message: Any) -> None:
        """Send a message to `handle_info`. Ignored, without an error, if the server has ended. Any thread."""
        process = self.__process__
        if get_ident() == process.scheduler.runs_on._thread_id:  # noqa: SLF001 - as above
            process.post((INFO, message))
        else:
            process.post_from_thread((INFO, message))

    if TYPE_CHECKING:

        @property
        def mailbox_depth(self) -> int:
            """Number of messages that wait, without the one being handled. Any thread."""

    else:
        mailbox_depth = ProcessAttribute()

    async def stop(self, limit: ShutdownLimit | None = None, *, reason: Exit = SHUTDOWN) -> None:
        """End it with this reason and wait; kill it after `limit` seconds (default `shutdown_limit`).

        A reason of kind crash is logged, and its supervisor restarts it as after any crash. Any loop. In a
        handler of the server itself it returns at once, and the server ends after the handler.
        """
        check_limit(limit)
        process = self.__process__
        loop = asyncio.get_running_loop()
        if loop is not process.loop:
            if not process.loop.is_closed():
                await across(process.loop, partial(self.stop, limit, reason=reason))
            return
        if process.task is not None and process.task is asyncio.current_task(loop):
            process.end_itself(limit, reason)
            return
        if limit != "brutal_kill":
            process.ask(reason)
        await process.stop(limit)

    # For its own handlers.

    def continue_with(self, argument: Any) -> None:
        """Run `handle_continue(argument)` before the next message. Several run in order."""
        self.__process__.continue_with(argument)

    def send_after(self, seconds: float, message: Any) -> MessageTimer:
        """Send an info to itself after `seconds`, unless the timer is cancelled. Loop's thread only.

        The timer has `cancel()` and, as OTP's `read_timer`, `seconds_left`.
        """
        process = self.__process__
        return process.send_at(process.scheduler.monotonic() + seconds, (INFO, message))

    def send_at(self, when: float, message: Any) -> MessageTimer:
        """Like `send_after`, at a moment of `scheduler.monotonic()`. OTP's `send_after` with `abs: true`."""
        return self.__process__.send_at(when, (INFO, message))

    def set_idle_timeout(self, seconds: float | None) -> None:
        """Send the info TIMEOUT to itself whenever it had nothing to do for `seconds`; None ends that.

        As the timeout that OTP's callbacks return. Difference: it holds until it is set again, where OTP's
        must be returned by each callback. A request of `sys` begins it anew, and a suspended server does not
        time out. Raise ValueError unless `seconds` is above 0. Loop's thread only.
        """
        if seconds is not None and not seconds > 0:
            raise ValueError(f"the idle timeout is {seconds!r}: expected seconds above 0, or None")
        self.__process__.set_idle_timeout(seconds)

    def send_down(self, process: Process | Ending) -> Monitor:
        """Send the info Down to itself when a process, or a child of a TaskSupervisor, ends; OTP's `monitor`.

        If it has ended, the info is sent at once. `cancel()` of the result is OTP's `demonitor` with `flush`.
        Raise RuntimeError if the process lives on another loop. Loop's thread only.
        """
        return self.__process__.send_down(process)


def _unhandled(server: GenServer, handler: str, message: object) -> UnhandledMessageError:
    process = server.__process__
    return UnhandledMessageError(f"{process.name} has no {handler} for {redacted_message(process, message)}")


async def _begin_and_wait(process: MessageLoop, begin: Callable[[], None]) -> None:
    begin()
    await process.ready()
