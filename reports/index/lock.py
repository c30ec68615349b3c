"""One process at a time writes the list; the kernel takes the claim back when a process ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Seconds to wait for another process before going on without it: a page takes a second or two.
PATIENCE_S = 20.0
#: Seconds between two looks.
PAUSE_S = 0.05


@contextmanager
def locked(folder: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the folder while the list is made.

    Where another process holds it for longer than `patience_s` (a stopped one, say), go on all the
    same: the page is still written in one step, and the next report mends what it may lack.
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
