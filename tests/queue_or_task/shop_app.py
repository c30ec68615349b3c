"""An app with `@durable` tasks that are tasks of Celery too. BROKER, LOG and KILL_AT come by the environment.

With KILL_AT the process kills itself right after it has published so many jobs.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from celery import Celery

from inprocess import Backoff
from inprocess.journal import current_job, durable
from queue_or_task import handover

app: Any = Celery("shop", broker=os.environ["BROKER"], set_as_current=False)
app.conf.worker_hijack_root_logger = False


def note(name: str) -> None:
    job = current_job()
    assert job is not None
    with Path(os.environ["LOG"]).open("a") as log:
        log.write(f"{name} {job.id} {job.attempt}\n")


@durable(name="shop.pay", retry=Backoff(initial_s=0.05, max_s=0.1))
def pay(name: str) -> None:
    note(name)
    job = current_job()
    if name == "fails once" and job is not None and job.attempt == 1:
        raise ValueError(name)


@durable(name="shop.ship")
async def ship(name: str) -> None:
    note(name)


handover.register(app)


if "KILL_AT" in os.environ:
    publish, left = handover._publish, [int(os.environ["KILL_AT"])]

    def published(*args: Any) -> None:
        publish(*args)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    handover._publish = published  # type: ignore[assignment]  # of this process
