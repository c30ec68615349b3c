"""The soak's app, but the process of a chord's part dies once, in the method that CHORD_DIES_IN names.

With CHORD_LOSES "question" or "answer" the connection to the results is lost there instead.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import redis

from bench.soak.sidekiq_app import LOG, Unwatched, build

app = build(os.environ).app
app.conf.worker_deduplicate_successful_tasks = bool(os.environ.get("CHORD_DEDUPLICATES"))
_method: Any = getattr(Unwatched, os.environ["CHORD_DIES_IN"])


def die_once(*args: Any, **kwargs: Any) -> Any:
    """Die, but not the second time."""
    try:
        Path(os.environ[LOG]).with_name("died").touch(exist_ok=False)
    except FileExistsError:
        return _method(*args, **kwargs)
    if lost := os.environ.get("CHORD_LOSES"):
        if lost == "answer":
            _method(*args, **kwargs)
        raise redis.ConnectionError(lost)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


setattr(Unwatched, os.environ["CHORD_DIES_IN"], die_once)
