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
from threading import get_ident
from types import CodeType
from typing import Final, TypeVarTuple

from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.thread_bridge import hop
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.child_options import PLAIN, Options
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

Ts = TypeVarTuple("Ts")

#: Places that called `Task.start` and are remembered.
MAX_ASKERS: Final = 1000

_running_loop = asyncio._get_running_loop  # noqa: SLF001 - documented under this name
_unlinked: dict[asyncio.AbstractEventLoop | None, TaskSupervisor] = {}
_asked_there: dict[tuple[int, int], Options] = {}
_asked_last: tuple[CodeType | None, int, Options] = (None, 0, PLAIN["temporary"])


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
        code, offset, options = _asked_last
        if name is not None or code is not frame.f_code or offset != frame.f_lasti:
            options = _options_of(frame.f_code, frame.f_lasti, name)
        supervisor = _unlinked.get(loop or _running_loop())
        if supervisor is None or supervisor.exit is not None:
            supervisor = unlinked(loop or home_loop())
        if get_ident() != supervisor.scheduler.thread:
            return supervisor.atomically(partial(supervisor.take, function, args, options, Child))
        return supervisor.take(function, args, options, Child)


def _options_of(code: CodeType, offset: int, name: str | None) -> Options:
    """What a task is that was asked for there; one record for all nameless ones that were."""
    global _asked_last  # noqa: PLW0603 - most calls in a burst come from one place
    if name is not None:
        return Options("temporary", "brutal_kill", name, asker=(code, offset))
    options = _asked_there.get((id(code), offset))
    if options is None:
        if len(_asked_there) >= MAX_ASKERS:
            _asked_there.clear()
        options = Options("temporary", "brutal_kill", asker=(code, offset))
        _asked_there[id(code), offset] = options  # it holds the code, so that nothing else gets its id
    _asked_last = (code, offset, options)
    return options


def unlinked(loop: asyncio.AbstractEventLoop) -> TaskSupervisor:
    """What holds the tasks that `Task.start` started on that loop. Callable from any thread."""
    held = _unlinked.get(loop)
    if held is not None and held.exit is None:
        return held
    for closed in [known for known in _unlinked if known is not None and known.is_closed()]:
        _unlinked.pop(closed, None)
    make = partial(_unlinked_here, loop)
    return make() if _running_loop() is loop else hop(loop, make)


def _unlinked_here(loop: asyncio.AbstractEventLoop) -> TaskSupervisor:
    held = _unlinked.get(loop)
    if held is None or held.exit is not None:  # ended: an app's lifespan was left, and may be entered again
        held = _unlinked[loop] = TaskSupervisor.start()
    return held
