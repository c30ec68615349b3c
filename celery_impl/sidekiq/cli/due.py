"""The commands for autoscalers: due, promote."""

from __future__ import annotations

from typing import Final

import click
from celery import Celery

from celery_impl.sidekiq.api import Queue, due_jobs, promote_due_jobs
from celery_impl.sidekiq.cli.common import as_json, command, done, show, table


@click.command()
@as_json
@command
def due(app: Celery, *, as_json: bool) -> None:
    """Queues with the jobs that stand in them, and those that are due and wait for a worker to queue them.

    An autoscaler needs workers for both: count them together, or run `promote` before it looks.
    """
    waiting = due_jobs(app)
    queued = {queue.name: queue.size() for queue in Queue.all(app)}
    names = sorted({*queued, *waiting})
    known = [{"name": name, "queued": queued.get(name, 0), "due": waiting.get(name, 0)} for name in names]
    if as_json:
        show(known)
        return
    table(("QUEUE", "QUEUED", "DUE"), [(q["name"], q["queued"], q["due"]) for q in known])


@click.command()
@as_json
@command
def promote(app: Celery, *, as_json: bool) -> None:
    """Queue the jobs that are due, as a living worker does four times a second."""
    done("queued", promote_due_jobs(app), as_json=as_json)


COMMANDS: Final = (due, promote)
