"""The commands: stats, a list of each set, show, retry, kill, delete, clear."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Final

import click

from inprocess.journal.cli.output import (
    Interruptible,
    as_json,
    distance,
    jobs,
    one_line_errors,
    row_of,
    show,
    stop,
    table,
)
from inprocess.journal.journal import Journal
from inprocess.journal.sets import Job, JobSet

#: The variable with the URL of the journal.
VARIABLE: Final = "QUEUE_OR_TASK_JOURNAL"
#: Jobs that a list shows where nobody asks for more.
SHOWN: Final = 25
#: The sets, and which of them each action is for.
SETS: Final = ("waiting", "scheduled", "retries", "running", "moving", "dead", "parked", "done")
ACTIONS: Final[dict[str, tuple[str, ...]]] = {
    "retry": ("dead", "parked", "retries", "scheduled"),
    "kill": ("waiting", "scheduled", "retries", "parked"),
    "delete": ("waiting", "scheduled", "retries", "dead", "parked", "done"),
}
WORDS: Final = {"retry": "due now", "kill": "killed", "delete": "deleted"}
HELP: Final = {
    "retry": "Make jobs due now; dead and parked ones have all their attempts again.",
    "kill": "Make jobs dead that wait.",
    "delete": "Delete jobs for good.",
}

limit = click.option(
    "--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="Jobs to show."
)
of_task = click.option("--task", help="Only jobs of this task.")
of_queue = click.option("--queue", help="Only jobs of this queue.")
yes = click.option("--yes", is_flag=True, help="Do not ask before something is deleted or killed.")


@click.group(cls=Interruptible)
@click.option("--url", envvar=VARIABLE, show_envvar=True, help="The journal, as in sqlite:///app.db.")
@click.pass_context
def journal(context: click.Context, url: str | None) -> None:
    """Jobs of a journal in a database: look, retry, kill, delete, clear.

    Each command prints a table, or one JSON document with --json. Exit codes: 0 done, 1 the journal could not
    be read or changed, 2 a mistake of the caller's, 130 Ctrl-C.
    """
    context.obj = url


def opened(context: click.Context) -> Journal:
    """Return the journal that the command is about; end the command if there is none."""
    if context.obj is None:
        stop(f"which journal? queue-or-task journal --url sqlite:///app.db …, or set {VARIABLE}", 2)
    opened = Journal(context.obj)
    context.call_on_close(opened.close)
    if not opened.is_there:
        stop(f"there is no journal at {opened.url}: is the URL right?", 2)
    return opened


def _set(of: Journal, name: str, task: str | None = None, queue: str | None = None) -> JobSet:
    found: JobSet = getattr(of, name)
    return found.only(task=task, queue=queue)


@journal.command()
@as_json
@click.pass_context
@one_line_errors
def stats(context: click.Context, *, as_json: bool) -> None:
    """Sizes of all sets, and how long the oldest due job has waited."""
    known = asdict(opened(context).stats())
    if as_json:
        show(known)
        return
    table(("SET", "JOBS"), [(name, size) for name, size in known.items() if name != "latency"])
    click.echo(f"\nThe oldest due job has waited {known['latency']:.1f} s.")


def _list_command(name: str) -> click.Command:
    @click.command(name=name, help=f"{getattr(Journal, name).__doc__}")
    @limit
    @of_task
    @of_queue
    @as_json
    @click.pass_context
    @one_line_errors
    def show_set(
        context: click.Context, *, limit: int, task: str | None, queue: str | None, as_json: bool
    ) -> None:
        wanted = _set(opened(context), name, task, queue)
        total, found = wanted.size(), list(islice(wanted, limit))
        if as_json:
            show({"size": total, "jobs": [job.summary() for job in found]})
            return
        table(("ID", "CALL", "QUEUE", "WHEN", "ATTEMPTS", "ERROR"), list(map(row_of, found)))
        more = f"; --limit {total} shows all" if len(found) < total else ""
        acts = [action for action, sets in ACTIONS.items() if name in sets and total]
        step = (
            f"; act on one by `queue-or-task journal {acts[0]} ID`, on all by `… --all {name}`"
            if acts
            else ""
        )
        click.echo(f"\n{len(found)} of {total}, newest first{more}{step}")

    return show_set


@journal.command(name="show")
@click.argument("job_id", metavar="ID")
@as_json
@click.pass_context
@one_line_errors
def show_job(context: click.Context, job_id: str, *, as_json: bool) -> None:
    """All that is known of one job."""
    of = opened(context)
    _, job = _found(of, job_id, SETS)
    if as_json:
        show(job.summary())
        return
    times = {"at", "due", "created"}
    table(
        ("WHAT", "VALUE"),
        [(name, distance(value) if name in times else value) for name, value in job.summary().items()],
    )


def _action_command(action: str) -> click.Command:
    @click.command(name=action, help=HELP[action])
    @click.argument("ids", nargs=-1, metavar="[ID]...")
    @click.option("--all", "every", type=click.Choice(ACTIONS[action]), help="All jobs of this set.")
    @of_task
    @of_queue
    @yes
    @as_json
    @click.pass_context
    @one_line_errors
    def act(
        context: click.Context, *, ids: tuple[str, ...], every: str | None, task: str | None,
        queue: str | None, yes: bool, as_json: bool,
    ) -> None:  # fmt: skip
        if bool(ids) == bool(every):
            raise click.UsageError(
                f"name the jobs ({action} ID …), or a set ({action} --all {ACTIONS[action][0]})"
            )
        of = opened(context)
        if every:
            wanted = _set(of, every, task, queue)
            size = wanted.size()
            _ask(f"{action} {jobs(size)} of {every}", yes=yes or action == "retry" or not size)
            act_on_all = {"retry": wanted.retry_all, "kill": wanted.kill_all, "delete": wanted.clear}
            _done(action, act_on_all[action](), as_json=as_json)
            return
        found = [_found(of, job_id, ACTIONS[action]) for job_id in ids]
        _ask(f"{action} {jobs(len(found))}", yes=yes or action == "retry")
        count = sum(getattr(known, action)(job) for known, job in found)
        _done(action, count, as_json=as_json)
        if count < len(found):
            stop(f"{jobs(len(found) - count)} moved away meanwhile, or another job has the key: look again")

    return act


@journal.command()
@click.argument("name", metavar="SET", type=click.Choice(ACTIONS["delete"]))
@yes
@as_json
@click.pass_context
@one_line_errors
def clear(context: click.Context, name: str, *, yes: bool, as_json: bool) -> None:
    """Delete all jobs of a set for good."""
    wanted = _set(opened(context), name)
    size = wanted.size()
    _ask(f"delete {jobs(size)} of {name}", yes=yes or not size)
    _done("delete", wanted.clear(), as_json=as_json)


def _found(of: Journal, job_id: str, names: tuple[str, ...]) -> tuple[JobSet, Job]:
    sets = (_set(of, name) for name in names)
    found = ((known, job) for known in sets if (job := known.find(job_id)))
    return next(found, None) or stop(f"no job {job_id} in {', '.join(names)}; nothing was changed")


def _done(action: str, count: int, *, as_json: bool) -> None:
    if as_json:
        show({WORDS[action]: count})
    else:
        click.echo(f"{jobs(count)} {WORDS[action]}")


def _ask(what: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(f"Really {what} for good?", abort=True, err=True)


for _command in (*map(_list_command, SETS), *map(_action_command, ACTIONS)):
    journal.add_command(_command)
