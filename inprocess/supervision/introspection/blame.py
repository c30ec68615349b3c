"""What a loop's thread does at this moment, seen from another thread: a child or server, and its stack."""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from inprocess.supervision.core.process import Process
from inprocess.supervision.core.redact import repr_of
from inprocess.supervision.core.scheduler import schedulers_of
from inprocess.supervision.core.serving import served_by
from inprocess.supervision.tasks import task as tasks
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

#: Innermost lines of a stack that are shown.
LINES: Final = 15
#: Where the runtime's own code lies: its frames know the child or server that they serve.
_OURS: Final = str(Path(__file__).parents[1])
#: Files of what drives a loop: the innermost frame lies there while it waits for events.
_DRIVERS: Final = frozenset({selectors.__file__, asyncio.runners.__file__, asyncio.base_events.__file__})


@dataclass(frozen=True, slots=True)
class Blame:
    """Who runs on a thread, for a message, and the innermost lines of the stack."""

    name: str
    stack: str


def blame(loop: asyncio.AbstractEventLoop, thread_id: int) -> Blame | None:
    """Return what runs on the loop's thread now; None if the loop waits for events."""
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - documented under this name
    if frame is None or frame.f_code.co_filename in _DRIVERS:
        return None
    return Blame(_name(loop, frame), _stack(frame))


def running_in_threads() -> list[Blame]:
    """Return the children's functions that run in threads now."""
    found = []
    frames = sys._current_frames()  # noqa: SLF001 - as above
    for thread in threading.enumerate():
        kind, _, name = thread.name.partition(": ")
        frame = frames.get(thread.ident or 0)
        if kind in {"inprocess thread", "inprocess to_thread"} and name and frame is not None:
            found.append(Blame(name, _stack(frame)))
    return found


def _name(loop: asyncio.AbstractEventLoop, frame: FrameType) -> str:
    """Name the child or server that the frame belongs to, else the asyncio task."""
    for above in _callers(frame):
        served = above.f_locals.get("self") if above.f_code.co_filename.startswith(_OURS) else None
        if isinstance(served, Child):
            return _child(served)
        if isinstance(served, Process) and not isinstance(served, TaskSupervisor):
            return f"the server {served.name}"
    task = asyncio.current_task(loop)
    if task is None:
        return "a callback that is no child or server"
    server = served_by.get(task)
    if server is not None:
        return f"the server {getattr(server, 'name', server)}"
    child = next((child for child in _children(loop) if child.task is task), None)
    if child is not None:
        return _child(child)
    coroutine: Any = task.get_coro()
    return f"{task.get_name()}, a task of {getattr(coroutine, '__qualname__', repr_of(coroutine))}"


def _child(child: Child) -> str:
    return f"{child.describe()} under {child.supervisor.name}"


def _children(loop: asyncio.AbstractEventLoop) -> Iterator[Child]:
    """Iterate over the loop's children that have begun. They stand still: their loop is blocked."""
    known = [supervisor for scheduler in schedulers_of(loop) for supervisor in list(scheduler.supervisors)]
    unlinked = tasks._unlinked.get(loop)  # noqa: SLF001 - of one package
    for supervisor in [*known, *([unlinked] if unlinked else [])]:
        if isinstance(supervisor, TaskSupervisor):
            yield from list(supervisor._children)  # noqa: SLF001 - of one package


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _stack(frame: FrameType) -> str:
    """Format the stack from the loop's callback on."""
    frames = traceback.extract_stack(frame)
    callbacks = [at for at, one in enumerate(frames) if one.filename == asyncio.events.__file__]
    shown = frames[callbacks[-1] + 1 if callbacks else 0 :][-LINES:]
    return "".join(traceback.format_list(shown)).rstrip()
