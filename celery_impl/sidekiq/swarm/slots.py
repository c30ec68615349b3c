"""What a child is doing, in memory that it shares with its parent: its job, the job's limits, its counts.

The child writes (0.3 µs a change, no lock and no system call) and the parent reads at any moment, also after
the child was killed. A record carries its version at both ends, so the parent knows one that is half written
and reads it again.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final, NamedTuple

#: Bytes of a message of a job that is acknowledged before it runs; a longer one is not kept.
COPY_BYTES: Final = 65536
#: Bytes of the name of the child's holder.
HOLDER_BYTES: Final = 512
#: Attempts to read a record that the child is writing.
READS: Final = 100

#: Version, number of the job, start (monotonic), soft and hard limit in s, length of the copy, version.
_RUN: Final = Struct("<QqdddIQ")
#: The number of the job that the parent ends, plus one.
_TERMINATE: Final = Struct("<q")
_COUNT: Final = Struct("<Q")
_NAME: Final = Struct("<H")

_TERMINATE_AT: Final = 64
_READY_AT: Final = 72
_FAILED_AT: Final = 80
_OTHERS_AT: Final = 88
_HOLDER_AT: Final = 96
_COPY_AT: Final = _HOLDER_AT + HOLDER_BYTES
_COUNTS_AT: Final = _COPY_AT + COPY_BYTES

#: The number of a job where there is none.
NONE: Final = -1


class Run(NamedTuple):
    """A job that runs: its number among the holder's, its start (s, monotonic), its limits (s, 0: none).

    `copy` is its entry where it was acknowledged before it ran.
    """

    number: int
    started: float
    soft: float
    hard: float
    copy: bytes


class Slot:
    """The memory of one child, made before its fork; `names` are the tasks that are counted apart."""

    def __init__(self, names: Sequence[str]) -> None:
        self._index = {name: _COUNTS_AT + _COUNT.size * at for at, name in enumerate(names)}
        self._memory = mmap.mmap(-1, _COUNTS_AT + _COUNT.size * len(names))
        self._version = 0
        self.end(NONE)

    def begin(self, number: int, started: float, *, soft: float, hard: float, copy: bytes = b"") -> None:
        """Note a job that begins. Child only."""
        if copy:
            copy = copy if len(copy) <= COPY_BYTES else b""
            self._memory[_COPY_AT : _COPY_AT + len(copy)] = copy
        version = self._version = self._version + 1
        _RUN.pack_into(self._memory, 0, version, number, started, soft, hard, len(copy), version)

    def end(self, number: int) -> None:
        """Note that the job of this number has ended. Child only."""
        version = self._version = self._version + 1
        _RUN.pack_into(self._memory, 0, version, number, 0.0, 0.0, 0.0, 0, version)

    def run(self) -> Run | None:
        """Return the job that runs, or that ran when the child was killed."""
        last = self._last()
        return last if last is not None and last.started else None

    @property
    def begun(self) -> int:
        """The number of the job that began last, whether it runs or not; NONE before the first."""
        last = self._last()
        return NONE if last is None else last.number

    def _last(self) -> Run | None:
        for _ in range(READS):
            first, number, started, soft, hard, length, last = _RUN.unpack_from(self._memory)
            copy = self._memory[_COPY_AT : _COPY_AT + length] if length else b""
            if first == last and first == _COUNT.unpack_from(self._memory)[0]:
                return Run(number, started, soft, hard, copy)
        return None

    def terminate(self, number: int) -> None:
        """Ask for the end of this job, and of no other. Parent only; a TERM follows."""
        _TERMINATE.pack_into(self._memory, _TERMINATE_AT, number + 1)

    @property
    def terminated(self) -> int:
        """The number of the job whose end was asked for, or NONE."""
        return int(_TERMINATE.unpack_from(self._memory, _TERMINATE_AT)[0]) - 1

    @property
    def ready(self) -> bool:
        """Whether the child has begun to fetch."""
        return bool(self._memory[_READY_AT])

    @property
    def holder(self) -> str:
        """The name of the holder of the child's jobs; empty before it has one."""
        (length,) = _NAME.unpack_from(self._memory, _HOLDER_AT)
        start = _HOLDER_AT + _NAME.size
        return self._memory[start : start + length].decode()

    def fetches(self, holder: str) -> None:
        """Note that the child fetches for this holder from now on. Child only; no job runs meanwhile."""
        self.end(NONE)
        name = holder.encode()
        start = _HOLDER_AT + _NAME.size
        self._memory[start : start + len(name)] = name
        _NAME.pack_into(self._memory, _HOLDER_AT, len(name))
        self._memory[_READY_AT] = 1

    def count(self, task: str) -> None:
        """Count a job that begins. Child only."""
        at = self._index.get(task, _OTHERS_AT)
        _COUNT.pack_into(self._memory, at, _COUNT.unpack_from(self._memory, at)[0] + 1)

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs of each task have begun; those of other tasks under an empty name."""
        found = {"": _OTHERS_AT, **self._index}
        numbers = {name: _COUNT.unpack_from(self._memory, at)[0] for name, at in found.items()}
        return {name: number for name, number in numbers.items() if number}

    @property
    def failures(self) -> int:
        """How many runs ended in an error."""
        return int(_COUNT.unpack_from(self._memory, _FAILED_AT)[0])

    @failures.setter
    def failures(self, number: int) -> None:
        _COUNT.pack_into(self._memory, _FAILED_AT, number)
