"""A pytest plugin that makes a side of a suite's apps; QUEUE_OR_TASK_SIDE names it.

- stock: nothing.
- in-process: where a worker is started, the app runs here; apps whose broker is `inprocess://` stand by.
- sidekiq: `Sidekiq(app)` for every app, when it is finalized.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import celery.contrib.testing.worker
from celery import Celery
from celery._state import connect_on_app_finalize

SIDE = os.environ["QUEUE_OR_TASK_SIDE"]

_workers: Any = celery.contrib.testing.worker
_celery: Any = Celery


class RunInPlaceOfWorker:
    """What a test takes for the worker that `app.Worker` makes: it begins when it is made."""

    def __init__(self, app: Any, hostname: str | None = None, **_: Any) -> None:
        from inprocess.celery import run_in_process  # late: of one side alone

        self._run = run_in_process(app, hostname=hostname).start()

    def start(self) -> None:
        """Nothing: it has begun."""

    def stop(self) -> None:
        """End the run."""
        self._run.stop()


@contextmanager
def start_run(app: Any, concurrency: int = 1, **_: Any) -> Iterator[Any]:
    """Run the app, in place of Celery's `start_worker`."""
    from inprocess.celery import run_in_process  # late: of one side alone

    _workers.setup_app_for_worker(app, "INFO", None)
    with run_in_process(app, concurrency=concurrency) as run:
        yield run.worker


def add_sidekiq(app: Any) -> None:
    """Make it an app with `Sidekiq(app)`, where it is not one and has a broker that can be."""
    from celery_impl.sidekiq import Sidekiq, SidekiqError  # late: of one side alone

    with suppress(SidekiqError):
        Sidekiq(app)


if SIDE == "in-process":
    from inprocess.celery import run_in_process

    standby: Any = importlib.import_module("inprocess.celery.standby")  # apps with `inprocess://` stand by
    # The result backend may be what the suite is about.
    standby.run_in_process = partial(run_in_process, memory_results=False)
    _workers.start_worker = start_run
    _celery.Worker = property(lambda app: lambda **options: RunInPlaceOfWorker(**{**options, "app": app}))
elif SIDE == "sidekiq":
    connect_on_app_finalize(add_sidekiq)
    with suppress(ImportError):
        batches: Any = importlib.import_module("celery_batches")
        batches.Batches.sidekiq_retry = False  # as its refusal says: a batch is no single job
