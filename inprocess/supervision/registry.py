"""Registry: finds processes by any key, one a key or many, and forgets them when they end.

As Elixir's. `keys="unique"`: a key has at most one owner, so it is an address, and `via` makes it a
name. `keys="duplicate"`: a key has any number of owners, the same one several times if it likes, so it
is a topic, and `dispatch` reaches all its owners.

    >>> import asyncio
    >>> from inprocess.supervision.servers.gen_server import GenServer
    >>> class Echo(GenServer):
    ...     def handle_call(self, request, caller):
    ...         return request
    >>> async def main():
    ...     async with Registry.start("unique") as rooms:
    ...         async with Echo.start(name=rooms.via(("room", 7))):
    ...             print(await rooms.whereis(("room", 7)).call("hello"))
    ...         print(rooms.whereis(("room", 7)))
    >>> asyncio.run(main())
    hello
    None

An owner is a process or the child of a TaskSupervisor, and lives on the registry's loop. Changes are
made on that loop: a caller on another thread waits for the loop's next turn. Lookups are done at once
on any thread, and never return an owner that has ended.

Differences from Elixir: owners are not linked to the registry and survive its end. Names for the whole
interpreter are in `names`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self, TypeVar

from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.errors import AlreadyStartedError, StartError
from inprocess.supervision.core.exits import SHUTDOWN, Exit
from inprocess.supervision.core.names import Via
from inprocess.supervision.core.process import BaseProcess, Ending, Process
from inprocess.supervision.core.redact import redact
from inprocess.supervision.core.thread_bridge import look

Keys = Literal["unique", "duplicate"]
#: What can be registered: a process, or the child of a TaskSupervisor.
Owner = Process | Ending

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One owner of a key, with the value it registered."""

    owner: Any
    value: Any = None


class Registry(BaseProcess):
    """Owners by key; see the module. Created by `start`, ends with `stop` or its supervisor."""

    __slots__ = ("_entries", "_keys_of", "_meta", "_unique")

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._unique = keys == "unique"
        self._entries: dict[Hashable, tuple[Entry, ...]] = {}  # tuples, so that any thread may look
        self._keys_of: dict[Ending, dict[Hashable, None]] = {}
        self._meta: dict[Hashable, Any] = {}

    @classmethod
    def start(cls, keys: Keys, *, name: str | None = None, clock: Clock | None = None) -> Self:
        """Start one on the running loop.

        Raise ValueError for other `keys`, AlreadyStartedError if the name is taken.
        """
        if keys not in {"unique", "duplicate"}:
            raise ValueError(f"keys is {keys!r}: expected 'unique' or 'duplicate'")
        registry = cls(keys)
        registry._bind(name, clock)
        return registry

    def register(self, key: Hashable, owner: Owner, value: Any = None) -> None:
        """Register the owner under the key until it ends or is unregistered. Any thread.

        Raise AlreadyStartedError if keys are unique and a living owner has the key, even the same one, and
        StartError if the registry or the owner has ended.
        """
        self._here(partial(self._register, key, owner, value))

    def unregister(self, key: Hashable, owner: Owner) -> bool:
        """Remove all entries of this owner under this key; return False if there are none. Any thread."""
        return self._here(partial(self._unregister, key, owner))

    def update(self, key: Hashable, owner: Owner, change: Callable[[Any], Any]) -> Any:
        """Replace the value of the owner's entries under the key by `change(value)`. Any thread.

        Return the last new value; raise KeyError if the owner has no such entry.
        """
        return self._here(partial(self._update, key, owner, change))

    def lookup(self, key: Hashable) -> list[Entry]:
        """Return the entries under the key, oldest first; at most one if keys are unique. Any thread."""
        return [entry for entry in self._entries.get(key, ()) if _ending(entry.owner).exit is None]

    def whereis(self, key: Hashable) -> Any:
        """Return the oldest living owner of the key, or None. Any thread."""
        return next((entry.owner for entry in self.lookup(key)), None)

    def keys(self, owner: Owner) -> list[Hashable]:
        """Return the keys of the owner, each once. Any thread."""
        ending = _ending(owner)
        return list(self._keys_of.get(ending, ())) if ending.exit is None else []

    def entries(self) -> list[tuple[Hashable, Entry]]:
        """Return every key with each of its entries. Any thread."""
        return [(key, entry) for key in list(self._entries) for entry in self.lookup(key)]

    def select(self, where: Callable[[Hashable, Entry], object]) -> list[tuple[Hashable, Entry]]:
        """Return every key with each of its entries for which `where(key, entry)` is true. Any thread.

        As Elixir's `Registry.select`, with a function in place of a match specification.
        """
        return [found for found in self.entries() if where(*found)]

    def put_meta(self, key: Hashable, value: Any) -> None:
        """Keep a value of the registry itself under this key, apart from its entries. Any thread."""
        self._meta[key] = value

    def meta(self, key: Hashable, default: Any = None) -> Any:
        """Return the value that `put_meta` keeps under this key. Any thread."""
        return self._meta.get(key, default)

    def delete_meta(self, key: Hashable) -> None:
        """Forget the value that `put_meta` keeps under this key, if any. Any thread."""
        self._meta.pop(key, None)

    @property
    def count(self) -> int:
        """Number of entries. Any thread."""
        return sum(map(len, list(self._entries.values())))

    def dispatch(self, key: Hashable, tell: Callable[[list[Entry]], object]) -> int:
        """Call `tell(entries)` on the caller's thread if there are any; return their number. Any thread."""
        entries = self.lookup(key)
        if entries:
            tell(entries)
        return len(entries)

    def via(self, key: Hashable, value: Any = None) -> Via:
        """Return the key as a name, for `start(name=...)`; raise ValueError if keys are duplicate."""
        if not self._unique:
            raise ValueError(f"{self.name} has duplicate keys: only a unique key can be a name")
        via = Via(f"{self.name}[{redact(key)}]")
        via.registry, via.key, via.value = self, key, value
        return via

    def shutdown(self) -> None:
        """Forget all entries and end with reason shutdown."""
        self._entries.clear()
        self._keys_of.clear()
        self._end(SHUTDOWN)

    def kill(self) -> None:
        """Like `shutdown`."""
        self.shutdown()

    def _here(self, function: Callable[[], T]) -> T:
        return look(self.loop, function)

    def _register(self, key: Hashable, owner: Owner, value: Any) -> None:
        ending = _ending(owner)
        if self.exit is not None or ending.exit is not None:
            ended = self.name if self.exit is not None else redact(owner)
            raise StartError(f"{key!r} cannot be registered: {ended} has ended")
        there = self.lookup(key)
        if self._unique and there:
            raise AlreadyStartedError(f"the key {redact(key)} of {self.name} is taken by {there[0].owner!r}")
        self._entries[key] = (*there, Entry(owner, value))
        if ending not in self._keys_of:
            self._keys_of[ending] = {}
            ending.monitor(partial(self._owner_ended, owner))
        self._keys_of[ending][key] = None

    def _unregister(self, key: Hashable, owner: Owner) -> bool:
        """Keep an owner without keys in `_keys_of`, so that it is monitored only once."""
        keys = self._keys_of.get(_ending(owner), {})
        if key not in keys:
            return False
        del keys[key]
        self._drop(key, owner)
        return True

    def _update(self, key: Hashable, owner: Owner, change: Callable[[Any], Any]) -> Any:
        if key not in self._keys_of.get(_ending(owner), {}):
            raise KeyError(key)
        changed = [
            Entry(owner, change(entry.value)) if entry.owner is owner else entry
            for entry in self._entries[key]
        ]
        self._entries[key] = tuple(changed)
        return next(entry.value for entry in reversed(changed) if entry.owner is owner)

    def _owner_ended(self, owner: Owner, _ended: Exit) -> None:
        for key in self._keys_of.pop(_ending(owner), {}):
            self._drop(key, owner)

    def _drop(self, key: Hashable, owner: Owner) -> None:
        left = tuple(entry for entry in self._entries.get(key, ()) if entry.owner is not owner)
        if left:
            self._entries[key] = left
        else:
            self._entries.pop(key, None)


def _ending(owner: Owner) -> Ending:
    """Return the object that knows the owner's end: `__process__` of a process, or the child itself."""
    return owner.__process__ if isinstance(owner, Process) else owner
