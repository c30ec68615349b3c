"""Room on the disk: what a run needs to begin, and what it keeps back to end with."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError

#: Bytes that must be free before a run begins; a quick run writes about a tenth of it.
FREE_BYTES_NEEDED = 300_000_000
#: Bytes that a run leaves free: its comparisons, report and summaries need them.
RESERVE_BYTES = 30_000_000
#: Errors of the system that mean that there is no room.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskFullError(Exception):
    """The disk has no room for another block; `blocks` were measured while it was full."""

    def __init__(self, path: Path, blocks: Sequence[str]) -> None:
        super().__init__(f"the disk of {path} is full")
        self.blocks = list(blocks)


def check_space(out: Path) -> None:
    """Raise BenchError if the disk of `out` has no room for a run."""
    free = shutil.disk_usage(out).free
    if free < FREE_BYTES_NEEDED:
        needed = FREE_BYTES_NEEDED // 1_000_000
        raise BenchError(
            f"{out} has {free // 1_000_000} MB free, a run needs {needed}: free some or use --out"
        )


def check_reserve(path: Path, blocks: Sequence[str]) -> None:
    """Raise DiskFullError, which names `blocks`, if less than the reserve is free."""
    if shutil.disk_usage(path).free < RESERVE_BYTES:
        raise DiskFullError(path, blocks)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full."""
    return isinstance(error, OSError) and error.errno in NO_ROOM
