"""Ends a process when the one that started it is gone, be it by `kill -9`.

Watched by asking for the parent's id rather than by PR_SET_PDEATHSIG: that signal comes when the
*thread* that started the process ends, which a harness with threads cannot promise to outlive.
"""

from __future__ import annotations

import os
import signal
import threading
import time

#: Noted on import, so that a parent that dies while the process is still importing is missed too.
PARENT = os.getppid()
#: Seconds between two looks at the parent.
POLL_S = 0.5
#: Seconds that an orphan has to end by itself after SIGTERM before it is ended at once.
GRACE_S = 5.0


def end_with_parent() -> None:
    """Send this process SIGTERM when its parent is gone, and end it outright after the grace."""
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    while os.getppid() == PARENT:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
