"""A Celery app with small jobs that write what happens to them into a file, for real workers."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from celery.exceptions import SoftTimeLimitExceeded

from celery_impl import failures, names, profiles
from celery_impl.app import make

app = make(profiles.select_profile(os.environ), os.environ)
app.conf.task_ignore_result = True
failures.record_in_ledger()


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


@app.task(shared=False)
def note(job: str, seconds: float = 0.0) -> None:
    write("start", job)
    time.sleep(seconds)
    write("done", job)


@app.task(shared=False, soft_time_limit=600, time_limit=600)
def wait(job: str) -> None:
    """Run until the file of its name is there; the profile's own limit might end it before."""
    write("start", job)
    gate = Path(os.environ["SAMPLE_LOG"]).with_name(f"go-{job}")
    while not gate.exists():
        time.sleep(0.02)
    write("done", job)


@app.task(shared=False)
def hold_interpreter(job: str, seconds: int) -> None:
    """Run as a C extension does that keeps the interpreter's lock."""
    write("start", job)
    ctypes.PyDLL(None).sleep(seconds)
    write("done", job)


@app.task(shared=False)
def fail(job: str) -> None:
    write("start", job)
    raise ValueError(job)


@app.task(shared=False, sidekiq_retry=False)
def fail_once_and_for_all(job: str) -> None:
    write("start", job)
    raise ValueError(job)


@app.task(shared=False, sidekiq_retry=0)
def run_out_of_memory(job: str) -> None:
    write("start", job)
    raise MemoryError(job)


@app.task(shared=False)
def kill_own_process(job: str) -> None:
    write("start", job)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(shared=False, soft_time_limit=1, time_limit=2)
def hang(job: str) -> None:
    write("start", job)
    while True:
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            continue


@app.task(shared=False, name=names.CREATE_CRM_CONTACT)
def run_long(user_id: str) -> None:
    write("start", user_id)
    time.sleep(60)


@app.task(shared=False, name=names.FIND_FULFILLMENT_CENTER)
def raise_always(user_id: str) -> None:
    write("start", user_id)
    raise ValueError(user_id)
