"""PartitionSupervisor: N copies of one child; a key selects the copy that serves it.

As Elixir's `PartitionSupervisor`, for a process that would be a bottleneck alone. The copies share
nothing. Equal keys go to the same copy as long as `partitions` stays the same.

Difference from Elixir: an event loop runs one copy at a time, whatever the number of cores. Partitions
help if handlers await: then keys do not wait for each other.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.errors import ServerDiedError
from inprocess.supervision.core.exits import Restart
from inprocess.supervision.core.process import Process, ShutdownLimit
from inprocess.supervision.core.restarts import MAX_RESTARTS, MAX_SECONDS, RestartIntensity
from inprocess.supervision.supervisors.child_spec import AutoShutdown, ChildSpec
from inprocess.supervision.supervisors.ordered_children import OrderedSupervisor
from inprocess.supervision.supervisors.strategy import Strategy


def partition_of(key: object, partitions: int) -> int:
    """Return the partition of the key: 0 to partitions - 1, the same in every run and process.

    The partition of an int is its remainder, as in Elixir; of str and bytes, that of a checksum; of any
    other object, that of its `repr`, which must not contain an address.
    """
    if isinstance(key, int):
        return abs(key) % partitions
    data = key if isinstance(key, bytes) else (key if isinstance(key, str) else repr(key)).encode()
    return zlib.crc32(data) % partitions


class PartitionSupervisor(OrderedSupervisor):
    """N copies of a child. `async with PartitionSupervisor.start(start, partitions=4) as copies:`."""

    __slots__ = ("_partitions",)

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
        """Start `start(0)` to `start(partitions - 1)`; by default one a core.

        The ids are "0", "1" and so on; the rest is as in Supervisor. Raise ValueError for less than one
        partition. Any thread.
        """
        count = partitions if partitions is not None else os.cpu_count() or 1
        if count < 1:
            raise ValueError(f"partitions is {count}: expected at least 1")
        children = tuple(ChildSpec(str(n), partial(start, n), restart, shutdown) for n in range(count))
        intensity = RestartIntensity(max_restarts, max_seconds)
        make = partial(cls, children, strategy, intensity, "never")
        return cls._launch(make, name, clock)

    def __init__(
        self,
        children: Sequence[ChildSpec],
        strategy: Strategy,
        intensity: RestartIntensity,
        auto_shutdown: AutoShutdown,
    ) -> None:
        super().__init__(children, strategy, intensity, auto_shutdown)
        self._partitions = len(children)

    @property
    def partitions(self) -> int:
        """Number of copies that were started; a key keeps its copy when another is gone for good."""
        return self._partitions

    def via(self, key: object) -> Process:
        """Return the process that serves the key now. Call it again for each message. Any thread.

        Raise ServerDiedError while that copy restarts, and after its end.
        """
        child = self._children.get(str(partition_of(key, self.partitions)))
        process = None if child is None else child.process
        if process is None or process.exit is not None:
            raise ServerDiedError(f"{self.name}: the partition of {key!r} is not running: try again shortly")
        return process.handle
