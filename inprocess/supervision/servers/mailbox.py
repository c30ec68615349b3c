"""Mailbox: the messages that wait for a server, and whether somebody is on the way to handle them.

It is empty as None, one message as itself and a deque only for more, since most servers have
nothing to do most of the time and an empty deque is 600 bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, cast

from inprocess.supervision.core.clock import settle
from inprocess.supervision.core.exits import SHUTDOWN, Exit
from inprocess.supervision.servers.call import Caller
from inprocess.supervision.servers.debug import Debug
from inprocess.supervision.servers.handlers import Handlers

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


class Mailbox(Handlers):
    """A server as far as its mailbox goes."""

    __slots__ = ("_current", "_mailbox", "_state", "_wanted", "extra")

    def __init__(self) -> None:
        self.exit = self._monitors = None  # as Ending does, without the call
        self._mailbox: Message | deque[Message] | None = None
        #: The message that is being handled.
        self._current: Message | None = None
        self._state: int = IDLE
        #: The end that was asked for.
        self._wanted: Exit | None = None
        self.extra: Extra | None = None

    @property
    def mailbox_depth(self) -> int:
        """How many messages wait, the one that is being handled not counted. Any thread."""
        there, extra = self._mailbox, self.extra
        promised = 0 if extra is None else len(extra.continues)
        if there is None:
            return promised
        return promised + (len(there) if type(there) is deque else 1)

    def continue_with(self, argument: Any) -> None:
        """Have `handle_continue(argument)` run before the next message; several run in their order."""
        self.more().continues.append(argument)
        self._wake()

    def more(self) -> Extra:
        """The server's Extra, made where it has none."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def _step(self) -> None:
        """Handle messages."""
        raise NotImplementedError

    def _post(self, message: Message) -> None:
        state = self._state
        if state == ENDED:
            return
        there = self._mailbox
        if there is None:
            self._mailbox = message
        elif type(there) is deque:
            there.append(message)
        else:
            self._mailbox = deque((cast("Message", there), message))
        if state == IDLE:
            self._wake()

    def _post_system(self, message: Message) -> None:
        """Post a message that is handled also where the server is suspended."""
        self._post(message)
        if self._state == SUSPENDED:
            self._wake()

    def _wake(self) -> None:
        if self._state == IDLE or self._state == SUSPENDED:  # noqa: PLR1714 - quicker than a set
            self._state = QUEUED
            try:
                self.scheduler.soon(self._step)
            except RuntimeError:
                if not self.loop.is_closed():
                    raise
                self._end(SHUTDOWN)  # its loop ended before it did

    def _rest(self) -> None:
        extra = self.extra
        self._state = IDLE if extra is None or not extra.suspended else SUSPENDED

    def _next(self) -> Message | None:
        extra = self.extra
        if extra is not None:
            if extra.continues:
                return CONTINUE, extra.continues.pop(0)
            if extra.suspended:
                return self._next_system()
        there = self._mailbox
        if type(there) is deque:
            message: Message = there.popleft()
            if not there:
                self._mailbox = None
            return message
        if there is not None:
            self._mailbox = None
        return there  # type: ignore[return-value]  # what is no deque is a message

    def _next_system(self) -> Message | None:
        waiting = deque(self._waiting())
        for k, message in enumerate(waiting):
            if type(message) is tuple and message[0] == SYSTEM:
                del waiting[k]
                self._mailbox = waiting or None
                return message
        return None

    def _waiting(self) -> list[Message]:
        there = self._mailbox
        if there is None:
            return []
        return list(there) if type(there) is deque else [cast("Message", there)]
