"""One bucket for each rate-limited task of a worker, in memory that its children share.

A task's `rate_limit` holds for a worker, however many children it has. The lock is one on a file, which the
kernel releases when its holder is killed.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from struct import Struct
from typing import Any, Final

from kombu.utils.limits import TokenBucket

#: Tokens that are left, and when that was so (s, monotonic).
_STATE: Final = Struct("<dd")


class BucketTable:
    """The memory of the buckets; `names` are those of the worker's tasks. Made before the fork."""

    def __init__(self, names: Sequence[str]) -> None:
        size = max(1, _STATE.size * len(names))
        self._index = {name: _STATE.size * at for at, name in enumerate(names)}
        self._file = os.memfd_create("celery-swarm-rate-limits", os.MFD_CLOEXEC)
        os.ftruncate(self._file, size)
        self._memory = mmap.mmap(self._file, size)

    def bucket(self, name: str, per_s: float) -> TokenBucket:
        """Return the bucket of a task; one of the child's own for a task that came after the fork."""
        at = self._index.get(name)
        return TokenBucket(per_s, capacity=1) if at is None else _SharedBucket(self, at, per_s)

    @contextmanager
    def state(self, at: int, bucket: Any) -> Iterator[None]:
        """Load the shared state into a bucket, and store what becomes of it, while nobody else can."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, _STATE.size, at)
        try:
            bucket._tokens, bucket.timestamp = _STATE.unpack_from(self._memory, at)  # noqa: SLF001 - pinned by a test
            yield
            _STATE.pack_into(self._memory, at, bucket._tokens, bucket.timestamp)  # noqa: SLF001 - pinned by a test
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _STATE.size, at)


class _SharedBucket(TokenBucket):
    """kombu's bucket over shared state."""

    def __init__(self, table: BucketTable, at: int, per_s: float) -> None:
        super().__init__(per_s, capacity=1)
        self._table, self._at = table, at

    def can_consume(self, tokens: int = 1) -> bool:
        """Take the tokens if they are there."""
        with self._table.state(self._at, self):
            return bool(super().can_consume(tokens))

    def expected_time(self, tokens: int = 1) -> float:
        """Return the seconds until they are."""
        with self._table.state(self._at, self):
            return float(super().expected_time(tokens))
