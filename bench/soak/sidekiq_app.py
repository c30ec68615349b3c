"""The Celery app of `sidekiq_soak`: a job, which logs its start and its end, and what may follow it.

Parts of a chord have results, which are kept in the broker; the others have none.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from celery import Celery
from celery.backends.redis import RedisBackend

from celery_impl import profiles
from celery_impl.app import make

#: The environment variable with the path of the jobs' log; without it this module makes no app.
LOG: Final = "SIDEKIQ_SOAK_LOG"
#: The one that makes the job a coroutine, for a pool that runs them.
COROUTINES: Final = "SIDEKIQ_SOAK_COROUTINES"


class Unwatched(RedisBackend):
    """Celery's, but nobody subscribes to a result, for the brokers here are killed."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing."""

    def remove_pending_result(self, result: Any) -> Any:
        """Return the result."""
        return result


class Soaked(NamedTuple):
    """The app, its job, and the same as a part of a chord."""

    app: Celery
    job: Any
    part: Any


def build(env: Mapping[str, str]) -> Soaked:
    """Return the hardened app with the broker of `env`, and its tasks."""
    made = make(profiles.HARDENED, dict(env))
    made.conf.update(result_backend=f"{__name__}:Unwatched+{made.conf.broker_url}")
    function: Any = coroutine_job if env.get(COROUTINES) else job
    alone = made.task(name="soak.job", ignore_result=True)(function)
    return Soaked(made, alone, made.task(name="soak.part", ignore_result=False)(function))


def job(name: str, seconds: float) -> None:
    """Run for so many seconds."""
    _write("start", name)
    time.sleep(seconds)
    _write("done", name)


async def coroutine_job(name: str, seconds: float) -> None:
    """As `job`."""
    _write("start", name)
    await asyncio.sleep(seconds)
    _write("done", name)


def _write(event: str, name: str) -> None:
    line = f"{event} {name} {os.getpid()} {time.monotonic()}\n".encode()
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line)
    os.close(log)


if LOG in os.environ:
    app = build(os.environ).app
