"""Task.start: fire and forget.

The event loop may garbage-collect a bare `asyncio.create_task` while it runs, and reports its error only
when it is collected. The runtime holds the tasks of `Task.start` and logs an error at once, with the
line that started the task. A task is linked to nothing, is not retried, and does not delay shutdown: what
then still runs is cut off, and named in the log.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from threading import get_ident
from types import CodeType
from typing import Final, TypeVarTuple

from inprocess.supervision.core.errors import LoopGoneError, Refused
from inprocess.supervision.core.redact import function_name
from inprocess.supervision.core.serving import served_by
from inprocess.supervision.core.thread_bridge import hop
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.child_options import PLAIN, Options
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

Ts = TypeVarTuple("Ts")

#: Number of places calling `Task.start` whose options are cached.
MAX_ASKERS: Final = 1000

_running_loop = asyncio._get_running_loop  # noqa: SLF001 - documented under this name
_unlinked: dict[asyncio.AbstractEventLoop | None, TaskSupervisor] = {}
_asked_there: dict[tuple[int, int], Options] = {}
#: The last place that called, its options, and the supervisor of its loop: most calls in a burst are alike.
_asked_last: tuple[CodeType | None, int, Options, TaskSupervisor | None] = (None, 0, PLAIN["temporary"], None)


class Task:
    """Namespace of OTP's functions for tasks without a supervisor."""

    @staticmethod
    def start(
        function: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Child | Refused:
        """Run `function(*args)` in the background and return its handle at once.

        An async function runs on the loop, a plain one in a thread. The loop is `loop`, else the running one,
        else the runtime's (see `home_loop`). Return Refused while the app is draining, and when the
        interpreter has begun to end. Any thread.
        """
        global _asked_last  # noqa: PLW0603 - see there
        frame = sys._getframe(1)  # noqa: SLF001 - CPython's only way to find the calling line
        code, offset, options, last = _asked_last
        if name is not None or code is not frame.f_code or offset != frame.f_lasti:
            options = _options_of(frame.f_code, frame.f_lasti, name)
        elif last is not None and loop is None:
            scheduler = last.scheduler
            if (
                get_ident() == scheduler.runs_on._thread_id  # noqa: SLF001 - see `Scheduler.is_here`
                and last._is_open  # noqa: SLF001 - of the same floor, as the rest of what is copied here
                and scheduler.serving is None
                and not served_by
            ):
                child = Child()  # as `TaskSupervisor.take` does; its call would cost as much as half of this
                child.exit = child._monitors = child.task = child.history = None  # noqa: SLF001 - as there
                child.supervisor = last
                child.function = function
                child.args = args
                child.options = options
                child.context = copy_context()
                last._line.append(child)  # noqa: SLF001 - as above
                if not last._is_awake:  # noqa: SLF001 - as above
                    last._wake()  # noqa: SLF001 - as above
                return child
        supervisor = _unlinked.get(loop or _running_loop())
        if supervisor is None or supervisor.exit is not None:
            try:
                supervisor = unlinked(loop or home_loop())
            except LoopGoneError as gone:
                return Refused("not_running", f"{function_name(function)}: {gone}")
        if get_ident() != supervisor.scheduler.runs_on._thread_id:  # noqa: SLF001 - see `Scheduler.is_here`
            return supervisor.atomically(partial(supervisor.take, function, args, options, Child))
        if name is None:
            _asked_last = (frame.f_code, frame.f_lasti, options, supervisor)
        return supervisor.take(function, args, options, Child)


def _options_of(code: CodeType, offset: int, name: str | None) -> Options:
    """Return the options of a task started at this place; one record for all nameless tasks of the place."""
    if name is not None:
        return Options("temporary", "brutal_kill", name, asker=(code, offset))
    options = _asked_there.get((id(code), offset))
    if options is None:
        if len(_asked_there) >= MAX_ASKERS:
            _asked_there.clear()
        options = Options("temporary", "brutal_kill", asker=(code, offset))
        _asked_there[id(code), offset] = options  # it references the code object, so the id stays unique
    return options


def unlinked(loop: asyncio.AbstractEventLoop) -> TaskSupervisor:
    """Return the supervisor of the tasks that `Task.start` started on this loop. Any thread."""
    held = _unlinked.get(loop)
    if held is not None and held.exit is None:
        return held
    for closed in [known for known in list(_unlinked) if known is not None and known.is_closed()]:
        _unlinked.pop(closed, None)
    make = partial(_unlinked_here, loop)
    return make() if _running_loop() is loop else hop(loop, make)


def _unlinked_here(loop: asyncio.AbstractEventLoop) -> TaskSupervisor:
    held = _unlinked.get(loop)
    if held is None or held.exit is not None:  # ended: an app's lifespan was left, and may be entered again
        held = _unlinked[loop] = _Unlinked.start()
        held.scheduler.supervisors.discard(held)  # the end of a runtime does not wait for it
        held.scheduler.unlinked = held
    return held


class _Unlinked(TaskSupervisor):
    """The supervisor of the tasks of `Task.start` on one loop."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """What reports show."""
        return "Task.start"


os.register_at_fork(after_in_child=_unlinked.clear)
