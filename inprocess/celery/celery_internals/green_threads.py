"""gevent and eventlet: what they make of threads cannot carry a run."""

from __future__ import annotations

import sys
from typing import Any


def refuse_green_threads(name: str) -> None:
    """Raise RuntimeError where gevent or eventlet has replaced the threads of this process."""
    gevent: Any = sys.modules.get("gevent.monkey")
    eventlet: Any = sys.modules.get("eventlet.patcher")
    by = [
        library
        for library, is_patched in (
            ("gevent", gevent is not None and gevent.is_module_patched("threading")),
            ("eventlet", eventlet is not None and eventlet.is_monkey_patched("thread")),
        )
        if is_patched
    ]
    if by:
        raise RuntimeError(
            f"{name} cannot run here: {by[0]} has replaced this process's threads, and the run's event loop "
            "would be every thread's. Start without monkey patching, for example gunicorn with -k gthread"
        )
