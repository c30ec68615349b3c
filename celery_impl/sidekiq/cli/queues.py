"""The commands about queues and the workers that take from them: queues, pause, resume, quiet."""

from __future__ import annotations

from typing import Any, Final

import click
from celery import Celery

from celery_impl.sidekiq.api import Queue, Workers
from celery_impl.sidekiq.cli.common import as_json, command, show, stop, table

#: Seconds that workers have to say that they heard.
ANSWER_S: Final = 1.0


@click.command()
@as_json
@command
def queues(app: Celery, *, as_json: bool) -> None:
    """Queues with their size, the age of their oldest job, and whether they are paused."""
    known = [
        {"name": queue.name, "size": queue.size(), "latency": queue.latency(), "paused": queue.paused()}
        for queue in Queue.all(app)
    ]
    if as_json:
        show(known)
        return
    rows = [(q["name"], q["size"], f"{q['latency']:.1f} s", "paused" if q["paused"] else "") for q in known]
    table(("QUEUE", "SIZE", "LATENCY", ""), rows)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@as_json
@command
def pause(app: Celery, *, names: tuple[str, ...], as_json: bool) -> None:
    """Let no worker take jobs from these queues until `resume`."""
    queues = _known(app, names)
    for queue in queues:
        queue.pause()
    _say("paused", names, as_json=as_json)
    if not all(queue.obeyed for queue in queues):
        click.echo(
            "sidekiq: only workers of a lease+redis:// broker obey, and this app's URL is another", err=True
        )


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@as_json
@command
def resume(app: Celery, *, names: tuple[str, ...], as_json: bool) -> None:
    """Let workers take jobs from these queues again."""
    for queue in _known(app, names):
        queue.resume()
    _say("resumed", names, as_json=as_json)


@click.command()
@click.argument("names", nargs=-1, metavar="[WORKER]...")
@as_json
@command
def quiet(app: Celery, *, names: tuple[str, ...], as_json: bool) -> None:
    """Let all workers, or these, finish what they run and take nothing more, until they are started anew."""
    living = {worker.name: worker.queues for worker in Workers(app)}
    wanted = names or tuple(living)
    if not wanted:
        stop("no worker is alive: nothing to quiet")
    if missing := [name for name in wanted if name not in living]:
        stop(f"no living worker {', '.join(missing)}: `sidekiq workers` shows them; nothing was changed")
    silent = [name for name in wanted if not all(_cancel(app, name, queue) for queue in living[name])]
    _say("quiet", [name for name in wanted if name not in silent], as_json=as_json)
    if silent:
        stop(
            f"no answer yet from {', '.join(silent)}: a solo worker hears this when its job is done; "
            "see that `sidekiq workers` shows no queues of it, or end it with TERM"
        )


def _cancel(app: Celery, worker: str, queue: str) -> bool:
    answers: Any = app.control.cancel_consumer(
        queue, destination=[worker], reply=True, timeout=ANSWER_S, limit=1
    )
    return bool(answers)


def _known(app: Celery, names: tuple[str, ...]) -> list[Queue]:
    known = {queue.name: queue for queue in Queue.all(app)}
    if missing := [name for name in names if name not in known]:
        have = ", ".join(known)
        stop(f"no queue {', '.join(missing)}: there are {have}; nothing was changed")
    return [known[name] for name in names]


def _say(word: str, names: Any, *, as_json: bool) -> None:
    if as_json:
        show({word: list(names)})
    else:
        click.echo(f"{word}: {', '.join(names)}")


COMMANDS: Final = (queues, pause, resume, quiet)
