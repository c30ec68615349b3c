"""A Celery app on RabbitMQ with small jobs that write what happens to them into a file, for real workers."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from celery import Celery

from celery_impl.sidekiq import DISCARD, KILL, DeadJob, Schedule, Sidekiq


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


def heard(job: DeadJob, error: BaseException) -> None:
    write("death", f"{job.args[0]}:{type(error).__name__}:{job.retries}")


app = Celery("rabbit", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
)
Sidekiq(
    app,
    schedule=Schedule(scale=0.01),
    errors={LookupError: KILL, OSError: DISCARD},
    death_handlers=[heard],
    buffer=int(os.environ["SAMPLE_BUFFER"]) if "SAMPLE_BUFFER" in os.environ else None,
)


@app.task(shared=False)
def note(job: str, seconds: float = 0.0) -> None:
    write("start", job)
    time.sleep(seconds)
    write("done", job)


ERRORS: dict[str, type[Exception]] = {"killed": KeyError, "discarded": ConnectionError}


@app.task(shared=False, sidekiq_retry=2)
def fail(job: str) -> None:
    write("start", job)
    raise ERRORS.get(job, ValueError)(job)


@app.task(shared=False, sidekiq_retry=5)
def fail_until_fifth(job: str) -> None:
    write("start", job)
    if sum(line.startswith(f"start {job} ") for line in _lines()) < 5:
        raise ValueError(job)
    write("done", job)


@app.task(shared=False)
def kill_own_process(job: str) -> None:
    write("start", job)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(shared=False, bind=True, sidekiq_retry_in=lambda _retry, _error: 3)
def own_queue(self: Any, job: str) -> None:
    write(f"start-{self.request.delivery_info['routing_key']}", job)
    if self.request.retries == 0:
        raise ValueError(job)


def _lines() -> list[str]:
    with open(os.environ["SAMPLE_LOG"], encoding="utf-8") as log:  # noqa: PTH123 - as above
        return log.readlines()
