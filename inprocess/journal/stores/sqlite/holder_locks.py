"""Who of the holders lives, by the kernel's word: each locks a byte of a file beside the database.

1. A holder locks the byte at its number, and another that stands for its process, before the row with that
   number is committed, so that nobody ever sees the row without the lock. The kernel frees the lock when the
   process ends, however it ends; no clock and no renewal is needed, and a frozen process keeps its jobs.
2. Whoever gets the lock of the first byte knows that its holder is dead. If the second is locked still, its
   process has not died: it could not write any more, and its jobs are not to blame.
3. These are POSIX record locks: they belong to the process, a fork does not inherit them, and closing any
   descriptor of the file frees all of them. So a process opens each such file once and never closes it, and
   knows its own holders by itself, since it could lock their bytes again.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import Final

#: Ending of the file's name, after the database's.
SUFFIX: Final = "-holders"

#: What is added to a holder's number for the byte of its process.
PROCESS: Final = 1 << 40


class HolderLocks:
    """The locks of one file, as this process has them; made by `holder_locks`. Any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own: set[int] = set()
        self._lock = threading.Lock()

    def take(self, holder: int) -> None:
        """Lock both bytes of a new holder of this process."""
        with self._lock:
            for byte in (holder, PROCESS + holder):
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
                self._own.add(byte)

    def forsake(self, holder: int) -> None:
        """Free a holder of this process, which lives on and runs its jobs no more."""
        self._free(holder)

    def release(self, holder: int) -> None:
        """Free both bytes of a holder of this process."""
        self._free(holder)
        self._free(PROCESS + holder)

    def lives(self, holder: int) -> bool:
        """Whether this holder works."""
        return self._is_locked(holder)

    def process_lives(self, holder: int) -> bool:
        """Whether the process of this holder lives."""
        return self._is_locked(PROCESS + holder)

    def forget_own(self) -> None:
        """Forget this process's holders, in a fork of it."""
        self._own.clear()
        self._lock = threading.Lock()

    def _free(self, byte: int) -> None:
        with self._lock:
            if byte in self._own:
                self._own.discard(byte)
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, byte)

    def _is_locked(self, byte: int) -> bool:
        with self._lock:
            if byte in self._own:
                return True
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError:
                return True
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, byte)
            return False


_opening = threading.Lock()
_files: dict[tuple[int, int], HolderLocks] = {}


def holder_locks(database: Path) -> HolderLocks:
    """Return the locks beside this database, opened once in this process."""
    path = database.with_name(database.name + SUFFIX)
    with _opening:
        try:
            there = path.stat()
            if (there.st_dev, there.st_ino) in _files:  # opening it again would need a close
                return _files[there.st_dev, there.st_ino]
        except FileNotFoundError:
            pass
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        opened = os.fstat(descriptor)
        return _files.setdefault((opened.st_dev, opened.st_ino), HolderLocks(descriptor))


def _after_fork() -> None:
    """Forget the original's holders: the fork has none of its locks. Its descriptors stay open."""
    global _opening  # noqa: PLW0603 - another thread of the original may have held it
    _opening = threading.Lock()
    for locks in _files.values():
        locks.forget_own()


os.register_at_fork(after_in_child=_after_fork)
