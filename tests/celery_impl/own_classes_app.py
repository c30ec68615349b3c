"""A Celery app whose tasks are of every class but Sidekiq's, and a middleware that writes what passes it."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery, Task
from celery.exceptions import SoftTimeLimitExceeded

from celery_impl import profiles
from celery_impl.sidekiq import Schedule, Sidekiq
from celery_impl.sidekiq.middleware import CallNext, Middleware, OutgoingJob, RunningJob


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


class Trace(Middleware):
    """Gives each job a header on its way out, and writes what came in, with the error of its run."""

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        job.headers["trace"] = f"{job.name}:{job.retries}"
        return call_next(job)

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        write("trace", str(job.headers["trace"]))
        try:
            return call_next(job)
        except ValueError:
            write("error", job.name)
            raise


class AppTask(Task[Any, Any]):
    """The app's own class, as in Flask's documentation."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        write("context", str(self.name))
        return super().__call__(*args, **kwargs)


class Plain(Task[Any, Any]):
    """A project's base class."""

    abstract = True


class CallsRun(Task[Any, Any]):
    """Flask's older pattern: it runs the function and not Celery's `__call__`."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        write("context", str(self.name))
        return self.run(*args, **kwargs)


class Assigned(Task[Any, Any]):
    """What the app's `Task` is set to after `Sidekiq(app)`."""

    abstract = True


def fail(job: str) -> None:
    write("start", job)
    raise ValueError(job)


app: Celery[Any] = Celery("own classes", task_cls=AppTask)
app.conf.update(profiles.celery_settings(profiles.HARDENED, os.environ))


@app.task(name="early", shared=False)
def early(job: str) -> None:
    fail(job)


assert early.name  # the task is made now, before Sidekiq comes
Sidekiq(app, schedule=Schedule(scale=0.001, limit=1), middleware=[Trace()])

of_app = app.task(name="of_app", shared=False)(fail)
plain = app.task(name="plain", base=Plain, shared=False)(fail)
calls_run = app.task(name="calls_run", base=CallsRun, shared=False)(fail)
options = app.task(name="options", base=Plain, shared=False, sidekiq_retry=2)(fail)
assert all(task.name for task in (of_app, plain, calls_run, options))  # made now, before the next line
app.Task = Assigned  # type: ignore[misc] # as older pages of Flask's and flask-celeryext's have it
assigned = app.task(name="assigned", shared=False)(fail)


@app.task(base=Plain, shared=False, name="hangs", soft_time_limit=1, time_limit=2)
def hangs(job: str) -> None:
    write("start", job)
    while True:
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            continue
