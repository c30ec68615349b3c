"""A Celery app with unique and limited jobs, which write what happens to them into a file."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from celery import Celery
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from celery_impl import profiles
from celery_impl.sidekiq import DISCARD, Limiter, Schedule, Sidekiq

app = Celery("extras")
app.conf.update(profiles.celery_settings(profiles.HARDENED, os.environ))
app.conf.task_ignore_result = True
Sidekiq(app, schedule=Schedule(scale=0.01, limit=1), errors={LookupError: DISCARD})

crm = Limiter.window(app, "crm", "5/s")
erp = Limiter.concurrent(app, "erp", 2)
shut = Limiter.window(app, "shut", "1/h")
some = Limiter.window(app, "hourly", "5/h")


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


def work(job: str) -> None:
    """Do what the job's name says, until the file of its name is there."""
    write("start", job)
    gate = Path(os.environ["SAMPLE_LOG"]).with_name(f"go-{job}")
    if job.startswith("waits"):
        while not gate.exists():
            time.sleep(0.02)
    while job == "stuck":
        with suppress(SoftTimeLimitExceeded):
            time.sleep(60)
    if job.startswith("fails"):
        raise ValueError(job)
    if job.startswith("discarded"):
        raise LookupError(job)
    if job.startswith("ignored"):
        raise Ignore
    if job.startswith("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    write("done", job)


@app.task(shared=False, sidekiq_unique="until_done", sidekiq_unique_for=600)
def until_done(job: str, **_: object) -> None:
    work(job)


@app.task(shared=False, sidekiq_unique="until_start", sidekiq_unique_for=600)
def until_start(job: str) -> None:
    work(job)


@app.task(
    shared=False,
    sidekiq_unique="until_done",
    sidekiq_unique_conflict="raise",
    sidekiq_retry=False,
    soft_time_limit=1,
    time_limit=2,
)
def strict(job: str) -> None:
    work(job)


@app.task(shared=False, sidekiq_limits=[some])
def hourly(job: str) -> None:
    work(job)


@app.task(shared=False, sidekiq_limits=[erp])
def few(job: str) -> None:
    write("in", job)
    time.sleep(0.2)
    write("out", job)


@app.task(shared=False, sidekiq_limits=[shut], sidekiq_retry=1)
def never(job: str) -> None:
    work(job)
