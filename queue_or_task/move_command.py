"""`queue-or-task journal`, with `move --to celery --app shop.celery:app`: hand over what waits there."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from inprocess.journal.cli import journal
from inprocess.journal.cli.commands import opened
from inprocess.journal.cli.output import as_json, jobs, one_line_errors, show, stop

__all__ = ["journal", "move"]


@click.command()
@click.option("--to", type=click.Choice(["celery"]), required=True, help="The system that has them then.")
@click.option(
    "--app", "app_path", required=True, metavar="MODULE:APP", help="The Celery app, as `celery -A`."
)
@click.option("--batch", type=click.IntRange(min=1), default=100, show_default=True, help="Jobs in flight.")
@as_json
@click.pass_context
@one_line_errors
def move(context: click.Context, *, to: str, app_path: str, batch: int, as_json: bool) -> None:  # noqa: ARG001 - there is one
    """Hand every job that waits over to Celery, due or not, with the same id.

    Jobs that run, are dead or parked stay. The app may run meanwhile. Begin it again after a kill: nothing is
    lost, nothing is doubled on Redis, and at most one batch on RabbitMQ.
    """
    from celery.app.utils import find_app  # late: the other commands need no Celery
    from kombu.exceptions import OperationalError

    from queue_or_task.handover import move_jobs

    url = opened(context).url  # says what is wrong with the URL first
    sys.path.insert(0, str(Path.cwd()))
    try:
        app: Any = find_app(app_path)
        app.loader.import_default_modules()
        app.finalize()
    except (ImportError, AttributeError, ValueError) as error:
        stop(f"--app {app_path}: {error}: expected module:app, as in shop.celery:app", 2)
    of = _with_codecs(url) or opened(context)
    try:
        moves = move_jobs(of, app, batch=batch)
    except (OperationalError, ConnectionError) as error:
        stop(f"the broker failed: {error}; what it has not taken waits in the journal: run this again")
    if as_json:
        show(asdict(moves))
        return
    had = f", {jobs(moves.had)} were there from a move before" if moves.had else ""
    click.echo(f"{jobs(moves.sent)} moved to Celery{had}")
    for name, count in moves.left.items():
        click.echo(
            f"{jobs(count)} of {name} stay, which is no task of {app_path}: "
            "import its module there, before handover.register(app)"
        )
    if moves.left:
        raise SystemExit(1)


def _with_codecs(url: str) -> Any:
    """Return the app's own journal at this URL, which reads what its codecs have written, if there is one."""
    from inprocess.journal.journal import made_at

    return made_at(url)


journal.add_command(move)
