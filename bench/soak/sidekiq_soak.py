"""Soak of `celery_impl.sidekiq`: kill -9 at random moments under load, then count the jobs.

    python -m bench.soak.sidekiq_soak --kills 50

Kill a process that runs jobs, a worker (its main process, or all of its processes at once) and the
broker, each `--kills` times. The broker has an append-only file that is synced at each write. Two workers
run, and a producer keeps a backlog. Moments and victims are seeded. Afterwards, of each job that was
accepted (`delay` returned):

1. it is done, or was given up because it killed three processes; otherwise it is lost;
2. it ran once, or a kill explains the repeat: the kill came during the run, or within GRACE_S of it,
   when a dead process may still have held the job. Any other repeat is unexplained.

One job in five has another that follows it: the next step of a chain, a link, a chord's callback. That counts
as a job of its own, and may repeat where the job before it did.

Exit with 1 where a job is lost or a repeat is unexplained. A job that was refused (`delay` raised) may run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from bench.soak.sidekiq_victims import KILL, soak

#: Kills of each kind.
KILLS: Final = 50
KINDS: Final = tuple(KILL)
#: Pools whose jobs run in processes of their own.
WITH_CHILDREN: Final = ("prefork", "swarm")


def _progress(console: Console, kind: str, kills: int) -> Callable[[int], Any]:
    began = time.monotonic()

    def show(number: int) -> None:
        left = (time.monotonic() - began) / number * (kills - number)
        end = "\r" if console.is_terminal and number < kills else "\n"
        if console.is_terminal or number % 10 == 0:
            console.print(f"{kind}: {number} of {kills} kills, about {left:.0f} s left   ", end=end)

    return show


@click.command()
@click.option("--kills", default=KILLS, show_default=True, help="Kills of each kind.")
@click.option("--seed", default=1, show_default=True, help="Chooses the moments and the victims.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only these kills.")
@click.option("--pool", default="prefork", show_default=True, help="The workers' pool; aio runs coroutines.")
def main(kills: int, seed: int, kinds: tuple[str, ...], pool: str) -> None:
    """Kill workers and broker under load and print whether a job was lost."""
    console = Console(highlight=False)
    results = []
    for kind in kinds or KINDS:
        if kind == "child" and pool not in WITH_CHILDREN:
            console.print(f"child: the pool {pool} has no processes of its own: left out")
            continue
        with tempfile.TemporaryDirectory(prefix="sidekiq-soak-") as folder:
            done = _progress(console, kind, kills)
            results.append(soak(kind, kills, folder=Path(folder), seed=seed, pool=pool, done=done))
        console.print(str(results[-1]))
    sys.exit(not all(result.is_clean for result in results))


if __name__ == "__main__":
    main()
