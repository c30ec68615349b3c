"""A Celery app whose jobs are followed by others, with results in Redis, for real workers."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from celery_impl import profiles
from celery_impl.sidekiq import Schedule, Sidekiq
from celery_impl.sidekiq.enqueue import after_run, lost_chords
from celery_impl.sidekiq.middleware import RunningJob

app: Celery[Any] = Celery("follows")
app.conf.update(profiles.celery_settings(profiles.HARDENED, os.environ))
app.conf.update(result_backend=os.environ.get("FOLLOWS_RESULTS"), task_ignore_result=False)
after_run.PATIENCE_S = float(os.environ.get("FOLLOWS_PATIENCE_S", "60"))  # type: ignore[misc] # a test cannot wait a minute

lost_chords.GRACE_S = 0.5  # type: ignore[misc] # as above
lost_chords.LOOK_S = 0.2  # type: ignore[misc] # as above


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


def note_error(error: BaseException, job: RunningJob) -> None:
    write("error", f"{job.args[0]}:{type(error).__name__}")


Sidekiq(
    app,
    schedule=Schedule(scale=0.001, limit=2),
    error_handlers=[note_error],
    report_failures=os.environ.get("FOLLOWS_REPORT", "each"),  # type: ignore[arg-type] # checked there
)


def wait_for(gate: str) -> None:
    path = Path(os.environ["SAMPLE_LOG"]).with_name(f"go-{gate}")
    while not path.exists():
        time.sleep(0.02)


@app.task(name="first", shared=False)
def first(job: str, gate: str = "") -> str:
    write("start", job)
    if gate:
        wait_for(gate)
    write("done", job)
    return job


@app.task(name="then", shared=False)
def then(_before: Any, job: str) -> str:
    write("start", job)
    return job


@app.task(name="begin", shared=False)
def begin() -> None:
    """Start a chain, a job with a link and a chord, whose first jobs wait for the gate."""
    chain(first.s("a", "gate"), then.s("second")).apply_async()
    first.apply_async(("b", "gate"), link=then.s("linked"))
    chord([first.s("c", "gate"), first.s("d", "gate")])(then.s("called"))


@app.task(name="begin_failing", shared=False)
def begin_failing() -> None:
    """Start a chord of which a part fails."""
    chord([first.s("e"), limited.s("part"), first.s("f")])(then.s("never"))


@app.task(name="gives_tuple", shared=False)
def gives_tuple(job: str) -> Any:
    write("start", job)
    return {"at": datetime(2026, 1, 1, tzinfo=UTC), "pair": (1, 2)}


@app.task(name="fails", shared=False)
def fails(job: str) -> None:
    write("start", job)
    raise ValueError(job)


@app.task(name="limited", shared=False, max_retries=1)
def limited(job: str) -> None:
    write("start", job)
    raise ValueError(job)


@app.task(name="auto", shared=False, autoretry_for=(KeyError,), max_retries=1, default_retry_delay=0)
def auto(job: str) -> None:
    write("start", job)
    raise KeyError(job)


@app.task(name="expected", shared=False, throws=(LookupError,))
def expected(job: str) -> None:
    write("start", job)
    raise LookupError(job)


@app.task(name="retries_itself", shared=False, bind=True, max_retries=1)
def retries_itself(self: Any, job: str) -> None:
    write("start", job)
    raise self.retry(exc=ValueError(job), countdown=0)


@app.task(name="rejects", shared=False)
def rejects(job: str) -> None:
    write("start", job)
    raise Reject(job, requeue=False)


@app.task(name="ignores", shared=False)
def ignores(job: str) -> None:
    write("start", job)
    raise Ignore(job)


@app.task(name="over", shared=False, soft_time_limit=1, time_limit=2, acks_on_failure_or_timeout=False)
def over(job: str) -> None:
    write("start", job)
    while True:
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            continue


@app.task(name="sees_eta", shared=False, bind=True)
def sees_eta(self: Any, job: str) -> Any:
    write("start", job)
    return self.request.eta
