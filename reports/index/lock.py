"""A lock, so that one process at a time writes the list; the kernel releases it when a process ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Seconds to wait for another process before writing all the same: a page takes a second or two.
PATIENCE_S = 20.0
#: Seconds between two looks.
PAUSE_S = 0.05


@contextmanager
def locked(folder: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the folder while the list is made.

    If another process, a stopped one for instance, holds it for longer than `patience_s`, go on all the
    same: the page is still replaced whole, and the next report adds what it misses.
    """
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + patience_s
        while not _claimed(opened) and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
        yield
    finally:
        os.close(opened)


def _claimed(opened: int) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
