"""Engine: the turns that empty a server's mailbox, without a task for as long as nothing awaits.

1. A message is put into the mailbox; the first one queues a step on the scheduler.
2. The step handles what waits, MESSAGES_PER_TURN at most, then queues itself again or rests.
3. A handler that awaits gets an asyncio task. The task finishes it, goes on with the mailbox,
   and ends when that is empty. Where Python has eager tasks (3.12), one that does not have to
   wait costs no turn of the loop.
4. A request to end goes before the messages that wait, see `server_end`.

So an idle server is one object with slots: no task, no event, no deque.

Handlers run in a context (`contextvars`) of the server's own, copied from who started it. Until its
first message a server shares it with the others that were started from the same one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any, cast
from weakref import ReferenceType, ref

from inprocess.supervision.core.exits import Exit, exit_of
from inprocess.supervision.core.telemetry import attached
from inprocess.supervision.servers.call import Caller
from inprocess.supervision.servers.instrumentation import is_awaitable, observed
from inprocess.supervision.servers.mailbox import BUSY, CAST, CONTINUE, INFO, QUEUED, STARTING, Message
from inprocess.supervision.servers.termination import MortalServer

#: Messages that a server handles before it lets the rest of the loop have a turn.
MESSAGES_PER_TURN = 100
#: Returned by `handle_call`: the reply comes later, by `caller.reply`.
NO_REPLY: Any = object()


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


class Engine(MortalServer):
    """A server once it has started."""

    __slots__ = ("_context",)

    _context: Origin | Context

    def dispatch(self, message: Message) -> Awaitable[Any] | None:
        """Call the message's handler; return what is to be awaited where it does that."""
        if type(message) is tuple:
            kind, sent = message
            if kind is CAST:
                outcome = self.handle_cast(sent)
            elif kind is INFO:
                outcome = self.handle_info(sent)
            elif kind is CONTINUE:
                outcome = self.handle_continue(sent)
            else:
                outcome = sent.perform()
            return outcome if outcome is not None and is_awaitable(outcome) else None
        caller = cast("Caller", message)
        reply = self.handle_call(caller.request, caller)
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
            return observed(self.name, self.dispatch, message, None if extra is None else extra.debug)
        return self.dispatch(message)

    def _step(self) -> None:
        if self._state != QUEUED:  # it ended meanwhile
            return
        self._state = BUSY
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
                    pending = self.handle_cast(message[1])
                    if pending is None or not is_awaitable(pending):
                        continue
                else:
                    pending = self.dispatch(message)
                if pending is not None:
                    return pending, None
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - what a handler raises is the exit
            return self._leave(exit_of(error))
        except BaseException as error:
            self._finish(Exit("crash", error))
            raise
        self._state = QUEUED
        self.scheduler.soon(self._step)
        return None

    async def _go_on(self, pending: Awaitable[Any] | None, ended: Exit | None) -> None:
        """Finish what awaits, go on until the mailbox is empty, and end where that is wanted."""
        self._task = asyncio.current_task()
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
                    self._task = None
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
            self._task = task
            task.add_done_callback(partial(self._task_ended, pending))

    def _task_ended(self, pending: object, task: asyncio.Task[None]) -> None:
        if self._task is not task:  # it did its work
            return
        if isinstance(pending, Coroutine):
            pending.close()  # the task was cancelled before its first line
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._finish(Exit("crash", error))
        elif self._state == STARTING:
            self._start_failed(asyncio.CancelledError())
        else:
            self._cancelled()

    def _start_failed(self, error: BaseException) -> None:
        """End, since `init` raised this."""
        raise NotImplementedError
