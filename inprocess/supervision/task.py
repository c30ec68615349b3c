"""Task.start: fire and forget, done properly.

A bare `asyncio.create_task` may be collected while it runs, and its error is shown when
somebody collects it. Here the runtime holds the task, and an error is logged at once with
who asked for the work. Nobody is linked to it, nothing retries it, shutdown does not wait for it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import TypeVarTuple

from inprocess.supervision.child import Child
from inprocess.supervision.errors import Refused
from inprocess.supervision.runtime import home_loop
from inprocess.supervision.task_supervisor import TaskSupervisor
from inprocess.supervision.threads import hop

Ts = TypeVarTuple("Ts")

_unlinked: dict[asyncio.AbstractEventLoop, TaskSupervisor] = {}


class Task:
    """Namespace of OTP's functions for tasks without a supervisor."""

    @staticmethod
    def start(
        function: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Child | Refused:
        """Run `function(*args)` in the background and return its handle, at once.

        An async function runs on the loop, a plain one in a thread. The loop is the given one,
        else the running one, else the runtime's (see `home_loop`). Refused is returned while
        the app is draining. Callable from any thread.
        """
        frame = sys._getframe(1)  # noqa: SLF001 - CPython's only way to know who asked
        supervisor = unlinked(loop or home_loop())
        asker = (frame.f_code, frame.f_lineno)
        child = Child(supervisor, function, args, name, "temporary", "brutal_kill", None, asker)
        if supervisor.is_here:
            return supervisor.add(child)
        return supervisor.atomically(partial(supervisor.add, child))


def unlinked(loop: asyncio.AbstractEventLoop) -> TaskSupervisor:
    """What holds the tasks that `Task.start` started on that loop. Callable from any thread."""
    held = _unlinked.get(loop)
    if held is not None and held.exit is None:
        return held
    for closed in [known for known in _unlinked if known.is_closed()]:
        _unlinked.pop(closed, None)
    make = partial(_unlinked_here, loop)
    return make() if asyncio._get_running_loop() is loop else hop(loop, make)  # noqa: SLF001 - documented under this name


def _unlinked_here(loop: asyncio.AbstractEventLoop) -> TaskSupervisor:
    held = _unlinked.get(loop)
    if held is None or held.exit is not None:  # ended: an app's lifespan was left, and may be entered again
        held = _unlinked[loop] = TaskSupervisor.start()
    return held
