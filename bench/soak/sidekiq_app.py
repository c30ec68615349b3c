"""The Celery app of `sidekiq_soak`: one job, which logs its start and its end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from celery import Celery

from celery_impl import profiles
from celery_impl.app import make

#: The environment variable with the path of the jobs' log; without it this module makes no app.
LOG: Final = "SIDEKIQ_SOAK_LOG"


def build(env: Mapping[str, str]) -> tuple[Celery, Any]:
    """Return the hardened app with the broker of `env`, and its job."""
    made = make(profiles.HARDENED, dict(env))
    made.conf.task_ignore_result = True
    return made, made.task(name="soak.job")(job)


def job(name: str, seconds: float) -> None:
    """Run for so many seconds."""
    _write("start", name)
    time.sleep(seconds)
    _write("done", name)


def _write(event: str, name: str) -> None:
    line = f"{event} {name} {os.getpid()} {time.monotonic()}\n".encode()
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line)
    os.close(log)


if LOG in os.environ:
    app, _ = build(os.environ)
