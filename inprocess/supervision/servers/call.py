"""Caller: a call that waits for its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from inprocess.supervision.core.errors import CallTimeoutError
from inprocess.supervision.core.exits import ENDS_LOOP
from inprocess.supervision.core.redact import repr_of
from inprocess.supervision.core.scheduler import Scheduler
from inprocess.supervision.servers.server_report import Shows, redacted_message


class Replies(Protocol):
    """Records the replies of a server."""

    def replied(self, caller: Caller, value: object) -> None:
        """Record a reply."""


class ReplyTarget(Shows, Protocol):
    """The process of the called server."""

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler it lives on."""

    @property
    def extra(self) -> Replies | None:
        """Records its replies; None if they are not recorded."""

    @property
    def handle(self) -> Any:
        """The GenServer."""


class Caller:
    """A call that waits for its reply. `handle_call` gets it, and replies with it later if it likes."""

    __slots__ = ("_process", "client", "future", "request")

    def __init__(self, process: ReplyTarget, request: object, client: asyncio.Task[Any] | None) -> None:
        self._process = process
        self.request = request
        #: The asyncio task that made the call.
        self.client = client
        self.future: asyncio.Future[Any] = process.scheduler.loop.create_future()

    @property
    def server(self) -> Any:
        """The GenServer that was called."""
        return self._process.handle

    def reply(self, value: object) -> None:
        """Send the reply. Ignored if the call has a reply already or has timed out. Any thread."""
        scheduler = self._process.scheduler
        if scheduler.is_here:
            self.answer(value)
        else:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                scheduler.loop.call_soon_threadsafe(self.answer, value)

    def answer(self, value: object) -> None:
        """Like `reply`, on the loop's thread."""
        if not self.future.done():
            self.future.set_result(value)
            extra = self._process.extra
            if extra is not None:
                extra.replied(self, value)

    def fail(self, error: BaseException) -> None:
        """Make the call raise `error`. Loop's thread only."""
        if not self.future.done():
            if isinstance(error, StopIteration | asyncio.CancelledError):  # mean another thing in a future
                error, cause = RuntimeError(f"the function raised {repr_of(error)}"), error
                error.__cause__ = cause
            self.future.set_exception(error)

    def expire(self, seconds: float) -> None:
        """Make the call raise CallTimeoutError, after its `seconds`. Loop's thread only."""
        process = self._process
        asked = redacted_message(process, self.request)
        self.fail(CallTimeoutError(f"{process.name} did not reply within {seconds:g} s to {asked}"))

    def describe(self) -> str:
        """Describe the caller for a log: its task, and the line where it waits."""
        client = self.client
        if client is None:
            return "an unknown caller"
        stack = client.get_stack(limit=1)
        where = f" at {stack[0].f_code.co_filename}:{stack[0].f_lineno}" if stack else ""
        code = getattr(client.get_coro(), "__qualname__", "a coroutine")
        return f"task {client.get_name()!r} ({code}{where})"


class Question(Caller):
    """A request of `sys`: a function to call between two messages."""

    __slots__ = ("_function",)

    def __init__(
        self, process: ReplyTarget, function: Callable[[], object], client: asyncio.Task[Any] | None
    ) -> None:
        super().__init__(process, "a question of sys", client)
        self._function = function

    def perform(self) -> None:
        """Call the function; reply with its result, or fail with its error."""
        try:
            value = self._function()
        except ENDS_LOOP as error:
            self.fail(error)
            raise
        except BaseException as error:  # noqa: BLE001 - raised in the caller, whatever it is
            self.fail(error)
        else:
            if not self.future.done():
                self.future.set_result(value)
