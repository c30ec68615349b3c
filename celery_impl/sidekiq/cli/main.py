"""The group of the commands."""

from __future__ import annotations

import click

from celery_impl.sidekiq.cli import actions, due, lists, periodic, queues, unacked
from celery_impl.sidekiq.worker import pool_names

pool_names.register()


@click.group(name="sidekiq")
def sidekiq() -> None:
    """Queues, retries, scheduled and dead jobs of an app with Sidekiq(app).

    Each command prints a table, or one JSON document with --json.
    """


for module in (lists, actions, queues, due, periodic, unacked):
    for command in module.COMMANDS:
        sidekiq.add_command(command)
