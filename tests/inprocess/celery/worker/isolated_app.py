"""An app whose tasks run in processes of their own: those import this module."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

app: Any = Celery("isolated", set_as_current=False)


@app.task(bind=True, isolation="process", max_retries=2, shared=False, name="isolated.work")
def work(self: Any, x: int) -> list[Any]:
    """Store a state, retry once, send another task, and tell where it ran."""
    self.update_state(state="HALF", meta={"x": x})
    if not self.request.retries:
        raise self.retry(countdown=0)
    note.delay(x)
    return [os.getpid(), self.request.id, self.request.retries]


@app.task(isolation="process", shared=False, name="isolated.die")
def die() -> None:
    """End the process."""
    os._exit(3)


@app.task(isolation="process", time_limit=0.3, shared=False, name="isolated.sleep")
def sleep() -> None:
    """Take longer than the limit, in a call that no exception gets into."""
    time.sleep(60)


noted: list[tuple[int, int]] = []


@app.task(shared=False, name="isolated.note")
def note(x: int) -> None:
    """Note an argument, in the app's own process."""
    noted.append((os.getpid(), x))
