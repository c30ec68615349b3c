"""Ends a process when its parent is gone, even by `kill -9`.

Polls the parent's id. PR_SET_PDEATHSIG would fire when the *thread* that started the process ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time

#: Read on import, so that a parent which dies during the imports is noticed too.
PARENT = os.getppid()
#: Seconds between two looks at the parent.
POLL_S = 0.5
#: Seconds between SIGTERM and the end of a process that ignores it.
GRACE_S = 5.0


def end_with_parent() -> None:
    """Send this process SIGTERM when its parent is gone, and exit after the grace."""
    threading.Thread(target=_watch, name="parent-watch", daemon=True).start()


def _watch() -> None:
    while os.getppid() == PARENT:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
