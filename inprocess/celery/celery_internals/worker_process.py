"""`worker_process_init` and `worker_process_shutdown`: this process is a worker's only process.

They are sent once for all runs of the process: with the beginning of the first, and the end of the last. Apps
make their connections and tracers there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import signals

_guard = threading.Lock()
#: A mark for each run.
_runs: set[object] = set()


@contextmanager
def held(app: Any) -> Iterator[None]:
    """Count a run of the app; the receivers are called on this thread, their errors logged by Celery."""
    mine = object()
    with _guard:
        if not _runs:
            app.loader.init_worker_process()
            signals.worker_process_init.send(sender=None)
        _runs.add(mine)
    try:
        yield
    finally:
        with _guard:
            known = mine in _runs  # not in a fork of the process
            _runs.discard(mine)
            if known and not _runs:
                signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)


def _after_fork() -> None:
    global _guard  # noqa: PLW0603 - of the process, as the signals
    _guard = threading.Lock()
    _runs.clear()


os.register_at_fork(after_in_child=_after_fork)
