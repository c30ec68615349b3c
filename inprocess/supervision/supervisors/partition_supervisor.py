"""PartitionSupervisor: N copies of one child, and a key that says which copy serves it.

As Elixir's `PartitionSupervisor`: for a process that would be a bottleneck alone. The copies
share nothing; equal keys go to the same copy as long as `partitions` stays the same.

Difference from Elixir: an event loop runs one copy at a time, whatever the number of cores. What
partitions buy here is that keys do not wait for each other where handlers await.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from functools import partial
from typing import Self

from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.errors import ServerDiedError
from inprocess.supervision.core.exits import Restart
from inprocess.supervision.core.process import Process, ShutdownLimit
from inprocess.supervision.core.restarts import MAX_RESTARTS, MAX_SECONDS, RestartIntensity
from inprocess.supervision.supervisors.child_spec import ChildSpec
from inprocess.supervision.supervisors.ordered_children import OrderedSupervisor
from inprocess.supervision.supervisors.strategy import Strategy


def partition_of(key: object, partitions: int) -> int:
    """The partition that serves the key: 0 to partitions - 1, the same in every run and process.

    A whole number goes to its remainder, as in Elixir, text and bytes to the remainder of their
    checksum, anything else by its `repr`, which therefore must not hold an address.
    """
    if isinstance(key, int):
        return abs(key) % partitions
    data = key if isinstance(key, bytes) else (key if isinstance(key, str) else repr(key)).encode()
    return zlib.crc32(data) % partitions


class PartitionSupervisor(OrderedSupervisor):
    """See the module. `async with PartitionSupervisor.start(start, partitions=4) as copies:`."""

    __slots__ = ()

    @classmethod
    def start(
        cls,
        start: Callable[[int], Process | None],
        *,
        partitions: int | None = None,
        restart: Restart = "permanent",
        shutdown: ShutdownLimit | None = None,
        strategy: Strategy = "one_for_one",
        max_restarts: int = MAX_RESTARTS,
        max_seconds: float = MAX_SECONDS,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Start `start(0)` to `start(partitions - 1)`, by default one a core.

        The ids are "0", "1" and so on; the rest is as in Supervisor. Raise ValueError for less than
        one partition. Any thread.
        """
        count = partitions if partitions is not None else os.cpu_count() or 1
        if count < 1:
            raise ValueError(f"partitions is {count}: expected at least 1")
        children = tuple(ChildSpec(str(n), partial(start, n), restart, shutdown) for n in range(count))
        make = partial(cls, children, strategy, RestartIntensity(max_restarts, max_seconds), "never")
        return cls._launch(make, name, clock)

    @property
    def partitions(self) -> int:
        """How many copies there are."""
        return len(self._children)

    def via(self, key: object) -> Process:
        """The process that serves the key now; look it up again for each message. Any thread.

        Raise ServerDiedError while that copy is being restarted, or after its end.
        """
        child = self._children.get(str(partition_of(key, self.partitions)))
        process = None if child is None else child.process
        if process is None or process.exit is not None:
            raise ServerDiedError(f"{self.name}: the partition of {key!r} is not running: try again shortly")
        return process.handle
