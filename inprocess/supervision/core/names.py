"""Unique names of processes. A name has at most one owner and becomes free when the owner ends.

A restarted process is a new object, so a name is how others find it. A plain string is a name in the
whole interpreter; `Registry.via` makes a name in one registry.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, Protocol, TypeVar, cast, overload

from inprocess.supervision.core.errors import AlreadyStartedError

T = TypeVar("T")


class Loop(Protocol):
    """The part of an event loop that this module needs."""

    def is_closed(self) -> bool:
        """Whether the loop is closed, so that nothing on it runs any more."""


class NamedScheduler(Protocol):
    """The part of a scheduler that this module needs."""

    @property
    def loop(self) -> Loop:
        """The event loop it schedules on."""


class NamedProcess(Protocol):
    """A process that can have a name."""

    @property
    def scheduler(self) -> NamedScheduler:
        """The scheduler it lives on."""

    @property
    def handle(self) -> Any:
        """The object that `whereis` returns for it."""


class NameRegistry(Protocol):
    """Keeps names of its own: a `Registry`."""

    def register(self, key: Hashable, owner: Any, value: Any = None) -> None:
        """Give the key to the owner; raise AlreadyStartedError if another owner has it."""

    def unregister(self, key: Hashable, owner: Any) -> bool:
        """Free the key if the owner has it; return whether it had."""

    def whereis(self, key: Hashable) -> Any:
        """Return the owner of the key, or None."""


class Via(str):
    """A name in a registry, for `start(name=...)` and `whereis`. Made by `Registry.via`."""

    registry: NameRegistry
    key: Hashable
    value: Any

    __slots__ = ("key", "registry", "value")


_names: dict[str, NamedProcess] = {}
_leaving = threading.Lock()


@overload
def whereis(name: str) -> Any | None: ...
@overload
def whereis(name: str, kind: type[T]) -> T | None: ...


def whereis(name: str, kind: type[Any] | None = None) -> Any | None:
    """Return the running process with this name, or None. Any thread.

    With `kind` it is of that class for a type checker too, as `whereis("mails", TaskSupervisor)`. Raise
    TypeError if it is of another, or the name is no string.
    """
    via = None if type(name) is str else _via(name)
    if via is not None:
        handle = via.registry.whereis(via.key)
    else:
        found = _names.get(name)
        handle = None if found is None else found.handle
    if kind is not None and handle is not None and not isinstance(handle, kind):
        raise TypeError(f"{name!r} is a {type(handle).__qualname__}, and not a {kind.__qualname__}")
    return handle


def registered() -> dict[str, Any]:
    """Return every name of the interpreter with its owner, sorted by name. Any thread."""
    return {name: process.handle for name, process in sorted(_names.copy().items())}


def register(name: str, process: NamedProcess) -> None:
    """Give the name to the process; raise AlreadyStartedError if another process has it.

    An owner whose loop is closed no longer runs and cannot free its name: it loses it here.
    """
    via = None if type(name) is str else _via(name)
    if via is not None:
        via.registry.register(via.key, process.handle, via.value)
        return
    while (owner := _names.setdefault(name, process)) is not process:  # atomic, for threads
        if not owner.scheduler.loop.is_closed():
            raise AlreadyStartedError(
                f"the name {name!r} is taken by a running {type(owner.handle).__name__}"
            )
        with _leaving:  # else one thread frees what another has just registered
            unregister(name, owner)


def unregister(name: str, process: NamedProcess) -> None:
    """Free the name if the process has it."""
    via = None if type(name) is str else _via(name)
    if via is not None:
        via.registry.unregister(via.key, process.handle)
    elif _names.get(name) is process:
        del _names[name]


def forget_all() -> None:
    """Free every name, in a fork of the interpreter: the owners live in the original."""
    _names.clear()


def _via(name: str) -> Via | None:
    """Return the name as one of a registry; None for any other string, such as a member of a StrEnum.

    Raise TypeError for what is no string.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name is {name!r}: expected a string, or `Registry.via(...)`")
    return cast("Via", name) if hasattr(name, "registry") else None
