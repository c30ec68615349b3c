"""What can be said of an event loop from outside: whether it runs here, can be reached, or is closing.

A loop is never judged by a thread's id alone: a thread runs one loop after another, and a fork of the
process has the ids of the original's threads without their loops.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from asyncio import _get_running_loop
from collections.abc import Iterable
from threading import get_ident
from typing import Any, Final, Protocol, cast

from inprocess.supervision.core.log import log

#: Functions of asyncio, uvicorn and aiohttp that cancel what is left on a loop, before they close it.
_CANCEL_ALL: Final = frozenset({"_cancel_all_tasks", "_cancel_tasks"})
#: The file of `asyncio.Runner`, whose method tells whether the loop runs or is being closed.
_RUNNERS: Final = asyncio.runners.__file__


class Closing(Protocol):
    """The part of a scheduler that `ends_with_its_loop` needs."""

    def is_closing(self) -> bool:
        """Whether the loop is being closed."""


class EndsWithLoop(Protocol):
    """A supervisor."""

    @property
    def name(self) -> str:
        """The name that the log shows."""

    @property
    def scheduler(self) -> Closing:
        """The scheduler it lives on."""

    def kill(self) -> None:
        """End it and its children now."""


class RunsOn(Protocol):
    """Tells the thread that a loop runs on: a loop of asyncio's own, or a stand-in."""

    @property
    def _thread_id(self) -> int | None:
        """The thread's id while the loop runs, else None."""


class _Asks:
    """Stands in for a loop that does not tell its thread, such as uvloop's."""

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def _thread_id(self) -> int | None:
        return get_ident() if _get_running_loop() is self._loop else None


class _Nowhere:
    """Stands in for a loop that a fork has inherited."""

    __slots__ = ()
    _thread_id = None


#: What tells the thread of a loop that was made before a fork: none.
NOWHERE: Final[RunsOn] = _Nowhere()

_before_fork: set[asyncio.AbstractEventLoop] = set()


def runs_on(loop: asyncio.AbstractEventLoop) -> RunsOn:
    """Return what tells the thread of this loop, which must be running here. Cheaper than to ask asyncio."""
    return cast("RunsOn", loop) if hasattr(loop, "_thread_id") else _Asks(loop)


def made_before_fork(loops: Iterable[asyncio.AbstractEventLoop]) -> None:
    """Note, in a fork, that these loops run in the original only."""
    _before_fork.update(loops)


def why_unreachable(loop: asyncio.AbstractEventLoop) -> str | None:
    """Say why nothing that is sent to this loop will run; None if it runs. Any thread."""
    if loop in _before_fork:
        return (
            f"its event loop was made before this process (pid {os.getpid()}) was forked, and runs only in "
            "the original: start it after the fork, in each process"
        )
    if loop.is_closed():
        return "its event loop is closed: start it again, on the loop that runs now"
    if not loop.is_running():
        return "its event loop does not run: start it on the loop that runs now"
    module = import_waited_for(getattr(loop, "_thread_id", None))
    if module is not None:
        return (
            f"its event loop waits for the import of {module}, which this thread has begun and not finished: "
            "do this after the import, for example at the first use"
        )
    return None


def import_waited_for(thread: int | None) -> str | None:
    """Return the module that a thread waits to import while the calling thread imports it; None for none.

    The calling thread must not wait for that one: both would wait for ever.
    """
    waits: Any = getattr(importlib._bootstrap, "_blocking_on", {}).get(thread)  # noqa: SLF001 - nothing else tells it
    locks = waits if isinstance(waits, list) else [] if waits is None else [waits]
    return next((str(lock.name) for lock in list(locks) if lock.owner == get_ident()), None)


def ends_with_its_loop(supervisor: EndsWithLoop, *, is_killed: bool) -> bool:
    """Whether its loop is being closed, so that nothing may begin; it is killed then, and says so."""
    if not supervisor.scheduler.is_closing():
        return False
    if not is_killed:
        log.error(
            "%s: its event loop is being closed, so nothing is restarted and its children are cut off: "
            "await stop(), or drain() it, before the loop ends",
            supervisor.name,
        )
        supervisor.kill()
    return True


def is_being_closed() -> bool:
    """Whether the running loop is being closed, at the end of `asyncio.run` or the like.

    Looks at the stack, which is slow; `Scheduler.is_closing` remembers the answer.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - nothing else tells who drives the loop
    while frame is not None:
        code = frame.f_code
        if code.co_name in _CANCEL_ALL:
            return True
        if code.co_filename == _RUNNERS:
            return code.co_name != "run"
        frame = frame.f_back  # type: ignore[assignment]  # None ends it
    return False
