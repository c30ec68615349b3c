"""A pytest plugin: the suite on apps with `Sidekiq(app)`, and a worker process with the pool of POOL.

The worker is forked with the session's app, so that it has the tasks that the suite makes, and sends its log
back, which some cases read. A job that fails is not run again by itself (`sidekiq_retry`), because the suite
waits for the failure.
"""

from __future__ import annotations

import copy
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import celery.contrib.pytest
import celery.contrib.testing.worker
from celery.contrib.testing.tasks import ping

from celery_impl.sidekiq import Sidekiq

#: The variable that names the worker's pool.
POOL: Final = "CELERY_SUITE_POOL"
#: Seconds that the worker may take to run its first job, and to end.
START_S: Final = 120.0
STOP_S: Final = 30.0
#: Seconds that `delay` may take: the sides of the suite fill the machine.
ENQUEUE_S: Final = 30.0

_fork = multiprocessing.get_context("fork")
_fixtures: Any = celery.contrib.pytest
_workers: Any = celery.contrib.testing.worker
_create_app = _fixtures._create_app  # noqa: SLF001 - there is no other way to the suite's apps


class _ToSuite(logging.Handler):
    """Sends records to the suite's process; the worker's children, which inherit it, do too."""

    def __init__(self, records: Any) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        sent = copy.copy(record)
        sent.exc_info = None  # a traceback cannot be sent
        self._records.put(sent)


@contextmanager
def _create_sidekiq_app(**options: Any) -> Iterator[Any]:
    with _create_app(**options, task_annotations={"*": {"sidekiq_retry": False}}) as app:
        Sidekiq(app, enqueue_within_s=ENQUEUE_S)
        yield app


@contextmanager
def _start_worker(app: Any, concurrency: int = 1, **_: Any) -> Iterator[Any]:
    app.finalize()
    records = _fork.SimpleQueue()
    process = _fork.Process(target=_work, args=(app, concurrency, records))
    process.start()
    listener = threading.Thread(target=_listen, args=(records,), daemon=True)
    listener.start()
    try:
        ping.delay().get(timeout=START_S)
        yield process
    finally:
        process.terminate()
        process.join(STOP_S)
        process.kill()
        records.put(None)
        listener.join()


def _work(app: Any, concurrency: int, records: Any) -> None:
    app.set_current()
    app.set_default()
    type(app.log)._setup = False  # noqa: SLF001 - as Celery's own `setup_app_for_worker`
    quiet = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
    level = os.environ["WORKER_LOGLEVEL"]
    worker = app.Worker(pool=os.environ[POOL], concurrency=concurrency, loglevel=level, quiet=True, **quiet)
    logging.getLogger().addHandler(_ToSuite(records))
    worker.start()
    sys.exit(worker.exitcode)


def _listen(records: Any) -> None:
    while (record := records.get()) is not None:
        logging.getLogger().handle(record)


_fixtures._create_app = _create_sidekiq_app  # noqa: SLF001 - as above
_workers.start_worker = _start_worker
