"""Unique names: a process may have one, at most one process has it, and it goes with its owner.

A supervised process comes back as another object, so a name is how to find it again. A name is
a text, known in the whole interpreter, or made by `Registry.via` and known in that registry.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, Protocol, cast

from inprocess.supervision.core.errors import AlreadyStartedError


class Loop(Protocol):
    """As much of an event loop as matters here."""

    def is_closed(self) -> bool:
        """Whether it runs no more, and nothing on it."""


class NamedScheduler(Protocol):
    """As much of a scheduler as matters here."""

    @property
    def loop(self) -> Loop:
        """The loop that it schedules on."""


class NamedProcess(Protocol):
    """What can have a name: something that lives on a loop."""

    @property
    def scheduler(self) -> NamedScheduler:
        """Where it lives."""

    @property
    def handle(self) -> Any:
        """What whoever looks the name up is given."""


class NameRegistry(Protocol):
    """What can keep names beside this module: a `Registry`."""

    def register(self, key: Hashable, owner: Any, value: Any = None) -> None:
        """Give the key to the owner; raise AlreadyStartedError where another has it."""

    def unregister(self, key: Hashable, owner: Any) -> bool:
        """Take the key away from the owner, if it has it."""

    def whereis(self, key: Hashable) -> Any:
        """The owner of the key, or None."""


class Via(str):
    """A name that lives in a registry, for `start(name=...)` and `whereis`. Made by `Registry.via`."""

    registry: NameRegistry
    key: Hashable
    value: Any

    __slots__ = ("key", "registry", "value")


_names: dict[str, NamedProcess] = {}
_leaving = threading.Lock()


def whereis(name: str) -> Any | None:
    """The running process of that name, or None. Callable from any thread."""
    via = None if type(name) is str else _via(name)
    if via is not None:
        return via.registry.whereis(via.key)
    found = _names.get(name)
    return None if found is None else found.handle


def registered() -> dict[str, Any]:
    """Every name of the interpreter and who has it, in the order of the names. Callable from any thread."""
    return {name: process.handle for name, process in sorted(_names.copy().items())}


def register(name: str, process: NamedProcess) -> None:
    """Give the name to the process; raise AlreadyStartedError where another has it.

    An owner whose loop was closed under it runs no more and cannot say so: it loses the name.
    """
    via = None if type(name) is str else _via(name)
    if via is not None:
        via.registry.register(via.key, process.handle, via.value)
        return
    while (owner := _names.setdefault(name, process)) is not process:  # one step, for threads
        if not owner.scheduler.loop.is_closed():
            raise AlreadyStartedError(
                f"the name {name!r} is taken by a running {type(owner.handle).__name__}"
            )
        with _leaving:  # so that nobody takes away what another has just been given
            unregister(name, owner)


def unregister(name: str, process: NamedProcess) -> None:
    """Take the name away from the process, if it has it."""
    via = None if type(name) is str else _via(name)
    if via is not None:
        via.registry.unregister(via.key, process.handle)
    elif _names.get(name) is process:
        del _names[name]


def forget_all() -> None:
    """Free every name of the interpreter, in a fork of it: the owners are the original's."""
    _names.clear()


def _via(name: str) -> Via | None:
    """The name as one of a registry; None for another kind of text, such as a member of a StrEnum."""
    return cast("Via", name) if hasattr(name, "registry") else None
