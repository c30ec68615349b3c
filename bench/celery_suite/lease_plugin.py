"""A pytest plugin: every app of the suite has `Sidekiq(app)`, and its worker the pool that POOL names.

A job that fails is not run again by itself (`sidekiq_retry`), because the suite waits for the failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import celery.contrib.pytest
import celery.contrib.testing.worker

from celery_impl.sidekiq import Sidekiq

#: The variable that names the worker's pool.
POOL: Final = "CELERY_SUITE_POOL"

_fixtures: Any = celery.contrib.pytest
_workers: Any = celery.contrib.testing.worker
_create_app = _fixtures._create_app  # noqa: SLF001 - there is no other way to the suite's apps
_start_worker = _workers.start_worker


@contextmanager
def _create_sidekiq_app(**options: Any) -> Iterator[Any]:
    with _create_app(**options, task_annotations={"*": {"sidekiq_retry": False}}) as app:
        Sidekiq(app)
        yield app


def _start_worker_with_pool(app: Any, pool: str, **options: Any) -> Any:  # noqa: ARG001 - the suite's pool
    return _start_worker(app, pool=os.environ[POOL], **options)


_fixtures._create_app = _create_sidekiq_app  # noqa: SLF001 - as above
_workers.start_worker = _start_worker_with_pool
