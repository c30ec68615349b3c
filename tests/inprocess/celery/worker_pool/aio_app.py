"""A Celery app with coroutine tasks and plain ones, for real workers with the pool."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.exceptions import SoftTimeLimitExceeded

app: Any = Celery("aio_app", broker=os.environ["AIO_BROKER"], backend=os.environ["AIO_RESULTS"])
app.task = partial(app.task, shared=False)  # the tests' process makes it again and again, beside other apps
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=int(os.environ.get("AIO_MULTIPLIER", "4")),
    worker_pool=os.environ.get("AIO_POOL", "inprocess.celery.worker_pool.pool:TaskPool"),
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600},
    result_expires=600,
)
if os.environ.get("AIO_SIDEKIQ"):
    from celery_impl.sidekiq import Sidekiq

    Sidekiq(app, enqueue_within_s=30)  # a full machine is none of what is tested


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


@signals.worker_process_shutdown.connect
def note_end(**_: Any) -> None:
    write("ended", "pool")


def is_open(job: str) -> bool:
    return Path(os.environ["SAMPLE_LOG"]).with_name(f"go-{job}").exists()


@app.task
async def add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


@app.task
async def total(numbers: list[int]) -> int:
    await asyncio.sleep(0)
    return sum(numbers)


@app.task
def double(number: int) -> int:
    return 2 * number


@app.task(bind=True)
async def own_ids(self: Any) -> list[str]:
    seen = [self.request.id]
    for _ in range(3):
        await asyncio.sleep(0.005)
        seen.append(self.request.id)
    return seen


@app.task(bind=True, max_retries=3)
async def at_the_third_time(self: Any) -> int:
    await asyncio.sleep(0)
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return int(self.request.retries)


@app.task
async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("on purpose")


@app.task(soft_time_limit=0.3)
async def soft_limit() -> str:
    try:
        await asyncio.sleep(600)
    except SoftTimeLimitExceeded as error:
        return type(error).__name__
    return "not limited"


@app.task(time_limit=0.3)
async def hard_limit() -> None:
    await asyncio.sleep(600)


@app.task(soft_time_limit=0.3)
def soft_limit_in_a_thread() -> str:
    try:
        while True:
            time.sleep(0.01)
    except SoftTimeLimitExceeded as error:
        return type(error).__name__


@app.task
async def wait(job: str) -> str:
    """Run until the file of its name is there."""
    write("start", job)
    try:
        while not is_open(job):  # noqa: ASYNC110 - another process makes the file
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        write("cancelled", job)
        raise
    write("done", job)
    return job


@app.task
async def cannot_be_cancelled(job: str) -> None:
    write("start", job)
    while not is_open(job):
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            write("cancelled", job)


@app.task(acks_late=False)
def leave(code: int) -> None:
    raise SystemExit(code)


@app.task
async def block_the_loop(job: str) -> None:
    write("start", job)
    while not is_open(job):
        time.sleep(0.02)  # noqa: ASYNC251 - it blocks on purpose
