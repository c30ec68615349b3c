"""Writes jobs that were given up for good into the ledger, and where a person finds them.

A job is given up once: by Celery, which logs it, or by Sidekiq, which puts it into the dead
set. An error that is retried gives up nothing, nor does a lost process whose job runs again.
"""

from __future__ import annotations

from typing import Any

from celery import signals

from celery_impl import names
from celery_impl.sidekiq import SidekiqTask, job_buried
from scenarios import ledger


def record_in_ledger() -> None:
    """Connect to Celery's and Sidekiq's signals; calling it twice is the same as once."""
    signals.task_failure.connect(_on_failure, weak=False, dispatch_uid="queue-or-task failure")
    job_buried.connect(_on_buried, weak=False, dispatch_uid="queue-or-task buried")


def _on_failure(sender: Any = None, exception: Any = None, args: Any = None, **_: Any) -> None:
    if not (isinstance(sender, SidekiqTask) and sender.goes_to_dead_set):
        _record(sender.name, args, where="log", error=exception)


def _on_buried(sender: Any = None, exception: Any = None, args: Any = None, **_: Any) -> None:
    _record(sender.name, args, where="dead set", error=exception)


def _record(task: str, args: Any, *, where: str, error: object) -> None:
    job = names.job_of(task, args)
    if job is not None:
        ledger.failed(job.scenario, job.name, where=where, error=f"{type(error).__name__}: {error}")
