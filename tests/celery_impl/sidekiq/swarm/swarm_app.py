"""A Celery app for real workers with the pool `swarm`: jobs that write what happens to them into a file."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.exceptions import SoftTimeLimitExceeded

from celery_impl.sidekiq import Sidekiq

app = Celery("swarm_app", broker=os.environ["SWARM_BROKER"], backend=os.environ["SWARM_RESULTS"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=int(os.environ.get("SWARM_MULTIPLIER", "1")),
    broker_connection_retry_on_startup=True,
    broker_transport_options={"lease_s": 1.0},
    worker_soft_shutdown_timeout=float(os.environ.get("SWARM_SOFT_S", "0")),
    worker_pool_restarts=True,
    result_expires=600,
)
Sidekiq(app)


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


@signals.worker_ready.connect
def note_ready(**_: Any) -> None:
    write("signal", "worker_ready")


@signals.worker_process_init.connect
def note_begin(**_: Any) -> None:
    write("signal", "worker_process_init")
    if "SWARM_BROKEN" in os.environ:
        os._exit(3)


@signals.worker_process_shutdown.connect
def note_end(**_: Any) -> None:
    write("signal", "worker_process_shutdown")


@app.task(shared=False)
def add(a: int, b: int) -> int:
    return a + b


@app.task(shared=False)
def note(job: str, seconds: float = 0.0) -> None:
    write("start", job)
    time.sleep(seconds)
    write("done", job)


@app.task(shared=False)
def wait(job: str) -> str:
    """Run until the file of its name is there."""
    write("start", job)
    try:
        while not Path(os.environ["SAMPLE_LOG"]).with_name(f"go-{job}").exists():
            time.sleep(0.02)
    except SystemExit:
        write("ended", job)
        raise
    write("done", job)
    return job


@app.task(shared=False, acks_late=False)
def wait_acknowledged(job: str) -> None:
    wait(job)


@app.task(shared=False)
def hold_interpreter(job: str, seconds: int) -> None:
    """Run as a C extension does that keeps the interpreter's lock."""
    write("start", job)
    ctypes.PyDLL(None).sleep(seconds)
    write("done", job)


@app.task(shared=False)
def kill_own_process(job: str) -> None:
    write("start", job)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(shared=False, soft_time_limit=1)
def soft_limit() -> str:
    try:
        time.sleep(600)
    except SoftTimeLimitExceeded as error:
        return type(error).__name__
    return "not limited"


@app.task(shared=False, time_limit=1)
def hard_limit(job: str) -> None:
    write("start", job)
    time.sleep(600)


@app.task(shared=False, rate_limit="2/s")
def limited(job: str) -> None:
    write("done", job)
