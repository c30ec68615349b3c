"""Caller: who waits for the reply to one call, and for how long.

Calls of one time-out on one loop share a timer: they are kept in the order in which they came,
which is the order of their deadlines, and the scheduler is asked for the first deadline alone.
A call that is answered in time costs no timer of its own. The shared one is let go of when it
fires and nobody waits, or when a server ends and nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any

from inprocess.supervision.core.errors import CallTimeoutError
from inprocess.supervision.servers.server_report import shown_message

if TYPE_CHECKING:
    from inprocess.supervision.core.scheduler import Scheduler
    from inprocess.supervision.servers.mailbox import Mailbox


class Caller:
    """Who waits for the reply to one call. Passed to `handle_call`."""

    __slots__ = ("client", "future", "request", "server")

    def __init__(self, server: Mailbox, request: object, client: asyncio.Task[Any] | None) -> None:
        self.server = server
        self.request = request
        #: The asyncio task that made the call.
        self.client = client
        self.future: asyncio.Future[Any] = server.scheduler.loop.create_future()

    def reply(self, value: object) -> None:
        """Answer the call; a second answer, or one after the time limit, is dropped. Any thread."""
        scheduler = self.server.scheduler
        if get_ident() == scheduler.thread:
            self.answer(value)
        else:
            scheduler.loop.call_soon_threadsafe(self.answer, value)

    def answer(self, value: object) -> None:
        """As `reply`, on the loop's thread."""
        if not self.future.done():
            self.future.set_result(value)
            extra = self.server.extra
            if extra is not None:
                extra.replied(self, value)

    def fail(self, error: Exception) -> None:
        """Make the call raise `error`. Loop's thread only."""
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self, seconds: float) -> None:
        """Make the call raise CallTimeoutError: it had `seconds`. Loop's thread only."""
        server = self.server
        asked = shown_message(server, self.request)
        self.fail(CallTimeoutError(f"{server.name} did not reply within {seconds:g} s to {asked}"))

    def describe(self) -> str:
        """The client for a log: its task, and where it waits."""
        client = self.client
        if client is None:
            return "an unknown caller"
        stack = client.get_stack(limit=1)
        where = f" at {stack[0].f_code.co_filename}:{stack[0].f_lineno}" if stack else ""
        code = getattr(client.get_coro(), "__qualname__", "a coroutine")
        return f"task {client.get_name()!r} ({code}{where})"


class Question(Caller):
    """A call of `sys`: a function of the server, to be called between two messages."""

    __slots__ = ("_function",)

    def __init__(
        self, server: Mailbox, function: Callable[[Any], object], client: asyncio.Task[Any] | None
    ) -> None:
        super().__init__(server, "a question of sys", client)
        self._function = function

    def perform(self) -> None:
        """Call the function and answer with its result, or fail with what it raised."""
        try:
            value = self._function(self.server)
        except Exception as error:  # noqa: BLE001 - it is whose function it is that gets the error
            self.fail(error)
        else:
            if not self.future.done():
                self.future.set_result(value)


class Deadlines:
    """The calls of one time-out, in seconds, on one scheduler; see the module."""

    __slots__ = ("_due", "_scheduler", "_seconds", "_when")

    def __init__(self, scheduler: Scheduler, seconds: float) -> None:
        self._scheduler = scheduler
        self._seconds = seconds
        self._due: dict[Caller, float] = {}
        self._when = inf

    def add(self, caller: Caller) -> None:
        """Have the call expire once its time has passed, unless it is discarded before."""
        when = self._due[caller] = self._scheduler.monotonic() + self._seconds
        if when < self._when:
            self._when = when
            self._scheduler.at(when, self)

    def discard(self, caller: Caller) -> None:
        """Let it go: it is answered, or waits no longer."""
        self._due.pop(caller, None)

    def release(self) -> None:
        """Let go of the timer where nobody waits. Not at each answer, since callers like to call again."""
        due = self._due
        while due:
            first = next(iter(due))
            if not first.future.done():
                return
            del due[first]
        if self._when < inf:
            self._when = inf
            self._scheduler.forget()
        self._forget()

    def fire(self, fired: float, /) -> bool:
        """As `scheduler.Entry.fire`: expire what is due, and wait for the next."""
        if fired != self._when:
            return False
        now = max(fired, self._scheduler.monotonic())
        self._when = inf
        expired = []
        for caller, when in self._due.items():
            if when > now:
                self._when = when
                self._scheduler.at(when, self)
                break
            expired.append(caller)
        for caller in expired:
            del self._due[caller]
            caller.expire(self._seconds)
        if not self._due:
            self._forget()
        return True

    def _forget(self) -> None:
        self._scheduler.deadlines.pop(self._seconds, None)

    def awaits(self, when: float, /) -> bool:
        """As `scheduler.Entry.awaits`."""
        return when == self._when


def deadlines(scheduler: Scheduler, seconds: float) -> Deadlines | None:
    """The calls of that time-out on that scheduler; None for infinity."""
    if seconds == inf:
        return None
    found = scheduler.deadlines.get(seconds)
    if found is None:
        found = scheduler.deadlines[seconds] = Deadlines(scheduler, seconds)
    return found
