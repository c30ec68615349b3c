"""The commands that only look: stats, workers, retries, scheduled, dead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any, Final

import click
from celery import Celery

from celery_impl.sidekiq.api import Job, JobSet, Stats, Workers
from celery_impl.sidekiq.cli.common import SETS, as_json, command, distance, show, table

#: Jobs that a list shows where nobody asks for more.
SHOWN: Final = 25
#: Characters of the arguments and of an error that a table shows.
ARGS_WIDTH: Final = 40
ERROR_WIDTH: Final = 60

limit = click.option(
    "--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="How many jobs to show."
)
of_task = click.option("--task", "task_name", help="Only jobs of this task.")


@click.command()
@as_json
@command
def stats(app: Celery, *, as_json: bool) -> None:
    """All counts at one look."""
    known = asdict(Stats.of(app))
    if as_json:
        show(known)
        return
    plain = {name: value for name, value in known.items() if name not in {"queues", "paused", "latency"}}
    shown = {**plain, "latency": f"{known['latency']:.1f} s", "paused": ", ".join(known["paused"]) or "none"}
    table(("WHAT", "COUNT"), list(shown.items()))


@click.command()
@as_json
@command
def workers(app: Celery, *, as_json: bool) -> None:
    """Living workers and what they run."""
    found = list(Workers(app))
    if as_json:
        show([asdict(worker) for worker in found])
        return
    rows = [(w.name, w.pid, f"{w.busy}/{w.concurrency}", ", ".join(w.queues)) for w in found]
    table(("WORKER", "PID", "BUSY", "QUEUES"), rows)
    running = [
        (w.name, r["id"], r["task"], distance(r["since"]), r["args"]) for w in found for r in w.running
    ]
    if running:
        click.echo()
        table(("WORKER", "JOB", "TASK", "SINCE", "ARGUMENTS"), running)


def _list_command(name: str, kind: type[JobSet]) -> click.Command:
    @command
    def show_set(app: Celery, *, as_json: bool, limit: int, task_name: str | None) -> None:
        jobs = kind(app)
        total = len(jobs)
        found = list(islice(_matching(jobs, task_name), limit))
        if as_json:
            show({"size": total, "jobs": [job.summary() for job in found]})
            return
        table(("ID", "TASK", "QUEUE", "WHEN", "COUNT", "ARGUMENTS", "ERROR"), list(map(_row, found)))
        click.echo(f"\n{len(found)} of {total}, newest first{_next_step(name, total, len(found))}")

    text = (kind.__doc__ or "").partition(";")[0].strip().rstrip(".")
    return click.command(name=name, help=f"{text}.")(as_json(limit(of_task(show_set))))


def _matching(jobs: JobSet, task_name: str | None) -> Iterator[Job]:
    return (job for job in jobs if task_name in (None, job.task))


def _row(job: Job) -> tuple[Any, ...]:
    if job.problem is not None:
        return (job.id, "?", "", distance(job.at), "", "", _cut(job.problem, 2 * ERROR_WIDTH))
    args = "" if job.args is None else ", ".join(map(json.dumps, job.args))
    named = "" if not job.kwargs else json.dumps(job.kwargs)
    error = f"{job.error_class}: {job.error_message}" if job.error_class else ""
    arguments = _cut(", ".join(filter(None, (args, named))), ARGS_WIDTH)
    return (job.id, job.task, job.queue, distance(job.at), job.count, arguments, _cut(error, ERROR_WIDTH))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _next_step(name: str, total: int, shown: int) -> str:
    if total == 0:
        return ""
    more = f"; --limit {total} shows all" if shown < total else ""
    return f"{more}; act on one by `celery … sidekiq retry ID`, on all by `… sidekiq retry --all {name}`"


COMMANDS: Final = (stats, workers, *(_list_command(name, kind) for name, kind in SETS.items()))
