"""The commands that act on jobs: retry, kill, delete, clear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import click
from celery import Celery

from celery_impl.sidekiq.api import Job, JobSet, Queue
from celery_impl.sidekiq.cli.common import SETS, as_json, command, done, jobs, stop
from celery_impl.sidekiq.jobs.broker_support import serves as serves_rabbitmq

#: Past tense of the commands, and what each is in the API for some and for all.
WORDS: Final = {"retry": "queued", "kill": "killed", "delete": "deleted"}
HELP: Final = {
    "retry": "Queue jobs of the retry, scheduled or dead set now.",
    "kill": "Put jobs of the retry or scheduled set into the dead set.",
    "delete": "Delete jobs of the retry, scheduled or dead set.",
}

#: Answers the question before something is deleted.
yes = click.option("--yes", is_flag=True, help="Do not ask before something is deleted or killed.")


def _action_command(name: str) -> click.Command:
    possible = [known for known in SETS if not (name == "kill" and known == "dead")]

    @command
    def act(app: Celery, *, ids: tuple[str, ...], every: str | None, yes: bool, as_json: bool) -> None:
        if bool(ids) == bool(every):
            raise click.UsageError(f"name the jobs (sidekiq {name} ID …) or a set (--all {possible[0]})")
        wanted = [every] if every else ["dead"] if serves_rabbitmq(app) else possible
        sets = {known: SETS[known](app) for known in wanted}
        if every:
            _ask(f"{name} {jobs(sets[every].size())} of {every}", yes=yes or name == "retry")
            done(WORDS[name], _all(sets[every], name), as_json=as_json)
            return
        found = [(known, job) for job_id in ids for known, job in [_find(sets, job_id)]]
        count = sum(_some(sets[known], name, job) for known, job in found)
        done(WORDS[name], count, as_json=as_json)
        if count < len(found):
            stop(f"{len(found) - count} moved away meanwhile: look again")

    act = click.argument("ids", nargs=-1, metavar="[ID]...")(act)
    act = click.option("--all", "every", type=click.Choice(possible), help="All jobs of this set.")(act)
    return click.command(name=name, help=HELP[name])(as_json(yes(act)))


@click.command()
@click.argument("name", metavar="SET", required=False, type=click.Choice([*SETS]))
@click.option("--queue", "queue_name", help="Clear this queue in place of a set.")
@yes
@as_json
@command
def clear(app: Celery, *, name: str | None, queue_name: str | None, yes: bool, as_json: bool) -> None:
    """Delete all jobs of a set (retries, scheduled, dead) or of a queue, for good."""
    if bool(name) == bool(queue_name):
        raise click.UsageError("name one set (retries, scheduled, dead) or one queue (--queue NAME)")
    what: JobSet | Queue = SETS[name](app) if name else Queue(app, str(queue_name))
    _ask(f"delete {jobs(what.size())} of {name or f'queue {queue_name}'} for good", yes=yes)
    done("deleted", what.clear(), as_json=as_json)


def _find(sets: dict[str, JobSet], job_id: str) -> tuple[str, Job]:
    found = ((name, job) for name, known in sets.items() if (job := known.find(job_id)))
    return next(found, None) or stop(
        f"no job {job_id} in {', '.join(sets)}: it may run, wait in a queue or be done; nothing was changed"
    )


def _some(known: JobSet, name: str, job: Job) -> int:
    act: Callable[[Job], int] = getattr(known, name)
    return act(job)


def _all(known: JobSet, name: str) -> int:
    act = {"retry": known.retry_all, "kill": known.kill_all, "delete": known.clear}[name]
    return act()


def _ask(what: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(f"Really {what}?", abort=True, err=True)


COMMANDS: Final = (*map(_action_command, WORDS), clear)
