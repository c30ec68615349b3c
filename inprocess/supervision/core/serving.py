"""Which server handles a message here, so that what its handler starts can be linked to it.

A step of the scheduler serves one server at a time, and a handler that waits has a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.scheduler import schedulers_of


class Serving(Protocol):
    """A server: a process that handles messages."""

    @property
    def name(self) -> str:
        """The name that logs show."""

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task of a handler that waits."""

    def monitor(self, callback: Callable[[Exit], object]) -> None:
        """Call `callback` with the exit at the end."""

    def link_ended(self, ended: Exit) -> None:
        """End it with the exit of a task that is linked to it."""


#: Servers by the tasks of their handlers. Kept by the servers.
served_by: Final[dict[asyncio.Task[Any], Serving]] = {}


def running_server() -> Serving | None:
    """Return the server whose handler calls this; None outside of a handler. Loop's thread only."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task(loop)
    if task is not None and (found := served_by.get(task)) is not None:
        return found
    for scheduler in schedulers_of(loop):
        serving = cast("Serving | None", scheduler.serving)
        if serving is not None and serving.task is task:  # no task, or one that begins eagerly
            return serving
    return None
