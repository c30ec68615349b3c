"""Unique names: a process may have one, at most one process has it, and it goes with its owner.

A supervised process comes back as another object, so a name is how to find it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inprocess.supervision.errors import AlreadyStartedError

if TYPE_CHECKING:
    from inprocess.supervision.process import Process

_names: dict[str, Process] = {}


def whereis(name: str) -> Process | None:
    """The running process of that name, or None. Callable from any thread."""
    return _names.get(name)


def register(name: str, process: Process) -> None:
    """Give the name to the process; raise AlreadyStartedError where another has it."""
    owner = _names.setdefault(name, process)  # one step, so two threads cannot both succeed
    if owner is not process:
        raise AlreadyStartedError(f"the name {name!r} is taken by a running {type(owner).__name__}")


def unregister(name: str, process: Process) -> None:
    """Take the name away from the process, if it has it."""
    if _names.get(name) is process:
        del _names[name]
