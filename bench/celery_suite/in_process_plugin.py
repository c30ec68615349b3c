"""A pytest plugin: the suite's session worker is the session's app, run in-process.

The suite starts one worker for all of its tests, on one app, and sends from another app for each.
Both meet in the broker; here the second is attached to the run of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import celery.contrib.pytest
import celery.contrib.testing.worker

from inprocess.celery import InProcess, run_in_process

_fixtures: Any = celery.contrib.pytest
_workers: Any = celery.contrib.testing.worker
_create_app = _fixtures._create_app  # noqa: SLF001 - there is no other way to the suite's apps
_runs: list[InProcess] = []


@contextmanager
def _start_worker(app: Any, concurrency: int = 1, **_: Any) -> Iterator[Any]:
    _workers.setup_app_for_worker(app, _workers.WORKER_LOGLEVEL, None)
    with run_in_process(app, name="celery suite", concurrency=concurrency) as run:
        _runs.append(run)
        try:
            yield run.worker
        finally:
            _runs.remove(run)


@contextmanager
def _create_attached_app(**options: Any) -> Iterator[Any]:
    with _create_app(**options) as app:
        if _runs:
            with _runs[-1].attached(app):
                yield app
        else:
            yield app


_workers.start_worker = _start_worker
_fixtures._create_app = _create_attached_app  # noqa: SLF001 - as above
