"""Room on the disk: what a run needs to begin, and what it keeps back to end with."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError

#: Bytes that must be free before a run begins; a quick run writes about a tenth of it.
FREE_BYTES_NEEDED = 300_000_000
#: Bytes that must be free before a block, and after it for the block to be kept.
BLOCK_BYTES = 20_000_000
#: Bytes that a run holds, to end with: its comparisons, report and summaries need them.
RESERVE_BYTES = 20_000_000
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


def hold_reserve(folder: Path) -> None:
    """Take the reserve, as a file in a folder that the run removes before it concludes."""
    folder.mkdir(exist_ok=True)
    (folder / "reserve").write_bytes(bytes(RESERVE_BYTES))


def check_block_space(path: Path, blocks: Sequence[str]) -> None:
    """Raise DiskFullError, which names `blocks`, if there is too little room for a block."""
    if shutil.disk_usage(path).free < BLOCK_BYTES:
        raise DiskFullError(path, blocks)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full."""
    return isinstance(error, OSError) and error.errno in NO_ROOM
