"""Supervisor: starts processes in order, restarts those that end, stops them in reverse.

As OTP's `supervisor`:

- Start: left to right; each child waits until the one before it has initialised. If one fails, the
  children already started stop in reverse, and the start fails with the child's id and reason.
- Restart: by the child's restart value (see `exits`) and the strategy. one_for_one restarts the child
  that ended; one_for_all stops and starts all; rest_for_one that child and those started after it.
  Temporary children are never restarted, not even by a sibling. It counts as one restart however
  many siblings it affects. A failed start during a restart counts too, and is tried again at once,
  after the requests and exits that wait. A restart also starts affected siblings that had ended
  or been terminated.
- Give-up: beyond `max_restarts` in `max_seconds` the supervisor logs that, stops its children in
  reverse and exits with reason shutdown; its parent restarts it only if it is a permanent child.
- Stop: in reverse, one at a time. Each child is asked to end, given its time limit, killed, and
  abandoned and reported if it does not end then.
- auto_shutdown: when a significant child ends by itself and is not restarted, the supervisor exits
  with reason shutdown: with any_significant at the first such child, with all_significant if no
  other significant child runs.

It handles requests and exits one after the other. Differences from OTP: the window is not truncated to
whole seconds. A supervisor that waits for a child's `init` can be shut down, which interrupts that
start. `start_child` and `restart_child` are undone if their caller is cancelled. There is no back-off:
see TaskSupervisor for children with one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Self, TypeVar

from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.contexts import Origin, origin
from inprocess.supervision.core.errors import (
    AlreadyPresentError,
    AlreadyStartedError,
    ChildRestartingError,
    ChildRunningError,
    NoSuchChildError,
    ServerDiedError,
    StartError,
)
from inprocess.supervision.core.process import BaseProcess, Process
from inprocess.supervision.core.restarts import MAX_RESTARTS, MAX_SECONDS, RestartIntensity
from inprocess.supervision.supervisors.base import raise_if_it_ends_loop
from inprocess.supervision.supervisors.child_spec import (
    AutoShutdown,
    ChildCounts,
    ChildLike,
    ChildSpec,
    check_significance,
    spec_of,
)
from inprocess.supervision.supervisors.ordered_children import ChildRecord, OrderedSupervisor
from inprocess.supervision.supervisors.strategy import Strategy

__all__ = ["ChildCounts", "ChildSpec", "Strategy", "Supervisor"]

T = TypeVar("T")


class Supervisor(OrderedSupervisor):
    """Keeps processes running. `async with Supervisor.start([...]) as supervisor:`."""

    __slots__ = ()

    @classmethod
    def start(
        cls,
        children: Sequence[ChildLike] = (),
        *,
        strategy: Strategy = "one_for_one",
        max_restarts: int = MAX_RESTARTS,
        max_seconds: float = MAX_SECONDS,
        auto_shutdown: AutoShutdown = "never",
        name: str | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Begin to start the children and return the supervisor; `ready` waits for them. Any thread.

        A child is a ChildSpec, a class, or a tuple of a class and the arguments of its `start`, see
        `child_spec.spec_of`. The supervisor lives on the running loop. Without one it lives on the runtime's
        (see `home_loop`), and `start` waits for the children. `max_seconds` is the length of the window, s.
        Raise ValueError for options that do not fit, such as duplicate ids, and AlreadyStartedError if the
        name is taken. `ready` raises StartError for the first child that fails.
        """
        intensity = RestartIntensity(max_restarts, max_seconds)
        make = partial(cls, tuple(map(spec_of, children)), strategy, intensity, auto_shutdown)
        return cls._launch(make, name, clock)

    async def start_child(self, spec: ChildLike) -> Process | None:
        """Add a child after the others and start it. Return its process, None if it is ignored.

        Raise AlreadyStartedError if a child with this id runs, AlreadyPresentError if it exists but does not
        run, StartError if the start fails (the spec is then not kept), ValueError for a significant child
        with auto_shutdown never, and ServerDiedError if the supervisor ends first. Any loop.
        """
        known = spec_of(spec)
        check_significance((known,), self._auto_shutdown)
        return _handle(
            await self._ask(
                partial(self._start_child, known, origin()), partial(self._undo_start, known.id, True)
            )
        )

    async def terminate_child(self, child_id: str) -> None:
        """Stop a child within its limit. Its spec stays, unless it is temporary. Not counted as a restart.

        Raise NoSuchChildError, and ServerDiedError if the supervisor ends first. Any loop.
        """
        await self._ask(partial(self._terminate_child, child_id))

    async def restart_child(self, child_id: str) -> Process | None:
        """Start a child that does not run. Return its process, None if it is ignored. Not counted.

        Raise NoSuchChildError, ChildRunningError, ChildRestartingError, StartError (the spec stays), and
        ServerDiedError if the supervisor ends first. Any loop.
        """
        return _handle(
            await self._ask(
                partial(self._restart_child, child_id), partial(self._undo_start, child_id, False)
            )
        )

    async def delete_child(self, child_id: str) -> None:
        """Forget the spec of a child that does not run.

        Raise NoSuchChildError, ChildRunningError, ChildRestartingError, and ServerDiedError if the supervisor
        ends first. Any loop.
        """
        await self._ask(partial(self._delete_child, child_id))

    def get_childspec(self, child: str | Process) -> ChildSpec:
        """Return the spec of a child, by its id or its process. Any thread. Raise NoSuchChildError.

        As OTP's `supervisor:get_childspec`.
        """
        return self._here(partial(self._spec_of, child))

    def _spec_of(self, child: str | Process) -> ChildSpec:
        if isinstance(child, str):
            return self._child(child).spec
        for known in self._children.values():
            if known.process is child.__process__:
                return known.spec
        raise NoSuchChildError(f"{self.name} has no child {child!r}: see which_children")

    async def _ask(
        self,
        operation: Callable[[asyncio.Future[Any]], Coroutine[Any, Any, T]],
        undo: Callable[[T], Coroutine[Any, Any, None]] | None = None,
    ) -> T:
        """Queue an operation and wait for its result, or for the end of this supervisor.

        If the caller is cancelled in the same turn as the answer, `undo` is queued.
        """
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            return await self.on_its_loop(partial(self._ask, operation, undo))
        if self._wanted is not None or self._killing or self.exit is not None:
            raise ServerDiedError(f"{self.name} has ended, or is about to: it does nothing more")
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.add(answer)
        self._queue(partial(self._answer, answer, operation))
        try:
            return await answer
        except asyncio.CancelledError:
            if undo is not None and answer.done() and not answer.cancelled() and answer.exception() is None:
                self._queue(partial(undo, answer.result()))
            raise
        finally:
            self._waiting.discard(answer)

    async def _answer(
        self,
        answer: asyncio.Future[T],
        operation: Callable[[asyncio.Future[Any]], Coroutine[Any, Any, T]],
    ) -> None:
        if answer.done():  # its caller was cancelled while it waited in the queue
            return
        try:
            result = await operation(answer)
        except (StartError, ChildRunningError, ChildRestartingError, NoSuchChildError) as error:
            if not answer.done():
                answer.set_exception(error)
            if isinstance(error, StartError):
                raise_if_it_ends_loop(error)
        else:
            if not answer.done():
                answer.set_result(result)

    async def _start_child(
        self, spec: ChildSpec, asked_from: Origin, answer: asyncio.Future[Any]
    ) -> BaseProcess | None:
        there = self._children.get(spec.id)
        if there is not None:
            if there.state == "stopped":
                raise AlreadyPresentError(
                    f"{self.name} has a child {spec.id!r} that does not run: restart it, or delete it first"
                )
            raise AlreadyStartedError(f"{self.name} has a child {spec.id!r} already")
        child = self._children[spec.id] = ChildRecord(spec, asked_from)
        try:
            process = await self._start_for(child, answer)
        except StartError:
            self._children.pop(spec.id, None)
            raise
        if answer.cancelled():
            self._children.pop(spec.id, None)
        return process

    async def _restart_child(self, child_id: str, answer: asyncio.Future[Any]) -> BaseProcess | None:
        return await self._start_for(self._stopped(child_id), answer)

    async def _delete_child(self, child_id: str, _answer: asyncio.Future[Any]) -> None:
        del self._children[self._stopped(child_id).spec.id]

    async def _terminate_child(self, child_id: str, _answer: asyncio.Future[Any]) -> None:
        child = self._child(child_id)
        await self._stop_one(child)
        self._forget_temporary(child)

    async def _start_for(self, child: ChildRecord, answer: asyncio.Future[Any]) -> BaseProcess | None:
        """Start a child for a caller; stop it again if the caller is cancelled meanwhile."""

        def caller_ended(answer: asyncio.Future[Any]) -> None:
            if answer.cancelled() and self._starting is child:
                self._interrupt()

        answer.add_done_callback(caller_ended)
        process = None
        try:
            process = await self._start_one(child)
        except asyncio.CancelledError:
            if self._wanted is not None or self._killing or not answer.cancelled():
                raise
        if answer.cancelled():
            await self._stop_one(child)
        return process

    async def _undo_start(self, child_id: str, is_new: bool, process: BaseProcess | None) -> None:  # noqa: FBT001 - bound above
        child = self._children.get(child_id)
        if child is not None and child.process is process:
            await self._stop_one(child)
            if is_new:
                del self._children[child_id]

    def _child(self, child_id: str) -> ChildRecord:
        child = self._children.get(child_id)
        if child is None:
            raise NoSuchChildError(f"{self.name} has no child {child_id!r}: see which_children")
        return child

    def _stopped(self, child_id: str) -> ChildRecord:
        child = self._child(child_id)
        if child.state == "restarting":
            raise ChildRestartingError(
                f"{self.name}: child {child_id!r} is about to be restarted: terminate it first"
            )
        if child.state != "stopped":
            raise ChildRunningError(f"{self.name}: child {child_id!r} is running: terminate it first")
        return child


def _handle(process: BaseProcess | None) -> Process | None:
    return None if process is None else process.handle
