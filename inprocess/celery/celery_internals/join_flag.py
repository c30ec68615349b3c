"""Whether `get()` would block a task, per caller instead of per process.

Celery keeps one flag a process: true in a worker, where `get()` inside a task is refused ("Never call
result.get() within a task!"), false in an app. Here both are one process, so the flag is kept in a context
variable: true inside a task, as in a worker, and Celery's own elsewhere. `allow_join_result` and
`disable_sync_subtasks=False` work as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from inprocess.celery.celery_internals.internals import result_module
from inprocess.celery.celery_internals.refcounted_patch import RefcountedPatch

#: The two functions of `celery.result` that read and write the flag.
READ: Final = "task_join_will_block"
WRITE: Final = "_set_task_join_will_block"

_blocks: ContextVar[bool | None] = ContextVar("inprocess.celery.blocks", default=None)


def begin_task() -> None:
    """Mark this context, and those copied from it, as inside a task."""
    _blocks.set(True)


def _tell_apart() -> Callable[[], None]:
    read, write = getattr(result_module, READ), getattr(result_module, WRITE)

    def will_block() -> bool:
        mine = _blocks.get()
        return bool(read() if mine is None else mine)

    def set_block(blocks: bool) -> None:  # noqa: FBT001 - Celery's signature
        if _blocks.get() is None:
            write(blocks)
        else:
            _blocks.set(blocks)

    setattr(result_module, READ, will_block)
    setattr(result_module, WRITE, set_block)

    def undo() -> None:
        setattr(result_module, READ, read)
        setattr(result_module, WRITE, write)

    return undo


#: Makes Celery read the caller's flag.
join_patch = RefcountedPatch(_tell_apart)
