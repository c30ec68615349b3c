"""How a server ends: asked to, by its own handler, cancelled or killed.

1. `_wanted` says that it is to end, and how. It goes before the messages that wait.
2. `terminate` runs, unless the server was killed. Where it fails, that is the exit.
3. A crash is logged.
4. `_end`: the name is free, monitors are told, and all who wait for a reply fail at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from logging import ERROR
from typing import Any

from inprocess.supervision.core.errors import ServerDiedError
from inprocess.supervision.core.exits import SHUTDOWN, Exit, killed
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import abandon
from inprocess.supervision.core.telemetry import attached
from inprocess.supervision.servers.call import Caller
from inprocess.supervision.servers.instrumentation import is_awaitable, terminate_in_span
from inprocess.supervision.servers.mailbox import BUSY, ENDED, STARTING, SYSTEM, Mailbox
from inprocess.supervision.servers.server_report import ancestors, log_crash


class MortalServer(Mailbox):
    """A server as far as its mailbox and its end go."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        super().__init__()
        #: What finishes a handler that awaits, or an async init.
        self._task: asyncio.Task[None] | None = None

    def shutdown(self) -> None:
        """End after the handler that is running, with reason shutdown; an async init is cancelled."""
        self._ask(SHUTDOWN)

    def kill(self) -> None:
        """End at the next await, without `terminate`; at once where nothing is awaited. Exit: killed."""
        if self.exit is not None:
            return
        self.more().killed = True
        self._wanted = killed()
        if self._task is not None:
            self._task.cancel()
        elif self._state != BUSY:  # else its own plain handler kills it, and is let return
            self._end(self._wanted)

    def _ask(self, ended: Exit) -> None:
        if self._wanted is None and self.exit is None:
            self._wanted = ended
            if self._state == STARTING and self._task is not None:
                self._task.cancel()
            self._wake()

    def _leave(self, ended: Exit) -> tuple[Awaitable[Any], Exit] | None:
        """Run `terminate`, then end; return what is to be awaited before that."""
        extra = self.extra
        self._wanted = ended
        if extra is not None and extra.killed:
            self._end(ended)
            return None
        try:
            if attached:
                pending = terminate_in_span(self.name, self.terminate, ended)
            else:
                pending = self.terminate(ended)
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
        log_crash(self, ended, kind=kind, message=payload, client=client, above=ancestors(self))

    def _abandon(self) -> None:
        abandon(self._task, self.name)
        self._end(killed())

    def _end(self, ended: Exit) -> None:
        if self.exit is not None:
            return
        self._state = ENDED
        callers = self._callers()
        self._mailbox = self._current = self._task = None
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
