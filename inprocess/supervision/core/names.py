"""Unique names: a process may have one, at most one process has it, and it goes with its owner.

A supervised process comes back as another object, so a name is how to find it again. A name is
a text, known in the whole interpreter, or made by `Registry.via` and known in that registry.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from inprocess.supervision.core.errors import AlreadyStartedError

if TYPE_CHECKING:
    from inprocess.supervision.core.process import Process
    from inprocess.supervision.registry import Via

_names: dict[str, Process] = {}
_leaving = threading.Lock()


def whereis(name: str) -> Process | None:
    """The running process of that name, or None. Callable from any thread."""
    via = None if type(name) is str else _via(name)
    return _names.get(name) if via is None else cast("Process | None", via.registry.whereis(via.key))


def registered() -> dict[str, Process]:
    """Every name of the interpreter and who has it, in the order of the names. Callable from any thread."""
    return dict(sorted(_names.copy().items()))


def register(name: str, process: Process) -> None:
    """Give the name to the process; raise AlreadyStartedError where another has it.

    An owner whose loop was closed under it runs no more and cannot say so: it loses the name.
    """
    via = None if type(name) is str else _via(name)
    if via is not None:
        via.registry.register(via.key, process, via.value)
        return
    while (owner := _names.setdefault(name, process)) is not process:  # one step, for threads
        if not owner.scheduler.loop.is_closed():
            raise AlreadyStartedError(f"the name {name!r} is taken by a running {type(owner).__name__}")
        with _leaving:  # so that nobody takes away what another has just been given
            unregister(name, owner)


def unregister(name: str, process: Process) -> None:
    """Take the name away from the process, if it has it."""
    via = None if type(name) is str else _via(name)
    if via is not None:
        via.registry.unregister(via.key, process)
    elif _names.get(name) is process:
        del _names[name]


def forget_all() -> None:
    """Free every name of the interpreter, in a fork of it: the owners are the original's."""
    _names.clear()


def _via(name: str) -> Via | None:
    """The name as one of a registry; None for another kind of text, such as a member of a StrEnum."""
    return cast("Via", name) if hasattr(name, "registry") else None
