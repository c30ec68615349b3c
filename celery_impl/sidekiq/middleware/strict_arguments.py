"""Strict arguments as a middleware: a job is refused where it is sent, not lost where it arrives."""

from __future__ import annotations

from typing import Any

from celery_impl.sidekiq.jobs.strict_arguments import AS_THEY_CAME, CELERYS_OWN, check
from celery_impl.sidekiq.middleware.base import CallNext, Middleware, OutgoingJob


class StrictArguments(Middleware):
    """Refuses arguments that the job's serializer does not give back; see `jobs.strict_arguments`.

    It sees what `delay`, `send_task`, canvas, retries and beat send. Celery's eager mode sends nothing: there
    the task itself asks (`SidekiqTask.apply_async`).
    """

    def __init__(self, *, default: bool = True) -> None:
        self._default = default

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        """Check the arguments; raise ArgumentsError."""
        task = job.task
        if task is None:  # as Celery's send_task looks for it: this finalizes nothing
            task = job.app._tasks.get(job.name)  # type: ignore[attr-defined] # noqa: SLF001 - pinned by a test
        strict = self._default if task is None else task.sidekiq_strict_arguments
        if strict and not job.name.startswith(CELERYS_OWN) and not AS_THEY_CAME.get():
            serializer = job.options.get("serializer") or job.app.conf.task_serializer
            check(job.name, job.args, job.kwargs, serializer=serializer)
        return call_next(job)
