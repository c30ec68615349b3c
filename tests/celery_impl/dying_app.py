"""A Celery app whose jobs are given up in every way, and which writes down who heard of it."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

from celery_impl import profiles
from celery_impl.sidekiq import DISCARD, KILL, DeadJob, Schedule, Sidekiq


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


def heard(job: DeadJob, error: BaseException) -> None:
    write("death", f"{job.args[0]}:{type(error).__name__}:{job.retries}")


def broken(job: DeadJob, error: BaseException) -> None:
    raise RuntimeError("this handler fails", job, error)


def exhausted(job: DeadJob, _error: BaseException) -> str | None:
    write("exhausted", job.args[0])
    return DISCARD if job.args[0] == "discarded" else None


app = Celery("dying")
app.conf.update(profiles.celery_settings(profiles.HARDENED, os.environ))
Sidekiq(
    app,
    schedule=Schedule(scale=0.01),
    errors={LookupError: KILL, TimeoutError: 100},
    death_handlers=[broken, heard],
)
ERRORS: dict[str, type[Exception]] = {
    "value": ValueError,
    "lookup": KeyError,
    "connection": ConnectionError,
    "timeout": TimeoutError,
}


@app.task(shared=False, sidekiq_retry_in={OSError: DISCARD, TimeoutError: 2000})
def choosy(job: str, **_: Any) -> None:
    write("start", job)
    raise ERRORS[job]("x" * 20_000)


@app.task(shared=False)
def plain(job: str) -> None:
    write("start", job)
    raise ERRORS[job](job)


@app.task(
    shared=False, sidekiq_retry=1, sidekiq_schedule=Schedule(scale=0.001), sidekiq_retries_exhausted=exhausted
)
def twice(job: str, **_: Any) -> None:
    write("start", job)
    raise ValueError(job)


@app.task(shared=False, sidekiq_retry=False)
def never(job: str) -> None:
    write("start", job)
    raise ValueError(job)


@app.task(shared=False, bind=True)
def retry_by_itself(self: Any, job: str) -> None:
    write("start", job)
    raise self.retry(exc=ValueError(job), countdown=300)


@app.task(shared=False)
def done(job: str) -> None:
    write("done", job)


@app.task(shared=False)
def gives_a_tuple(job: str) -> tuple[str, ...]:
    write("start", job)
    return (job,)
