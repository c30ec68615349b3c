"""Soak of `celery_impl.sidekiq`: kill -9 at random moments under load, and the count afterwards.

    python -m bench.soak.sidekiq_soak --kills 50

So many kills each of a process that runs jobs, of a worker (its main process, or all of its processes at
once) and of the broker, which has an append-only file, synced at each write. Two workers, and a producer
that keeps a backlog; seeded. Afterwards each job that was accepted (`delay` returned) is either

1. done, or given up because it killed three processes: else it is LOST;
2. begun once; begun again only if a kill met it. What began or ended within GRACE_S of a kill was in the
   hands of what was killed, though the job's own lines do not show it: it is counted apart. Any other
   second run is STRAY.

Ends with exit code 1 where a job is lost or stray. What was refused (`delay` raised) may run or not.
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


def _progress(console: Console, kind: str, kills: int) -> Callable[[int], Any]:
    began = time.monotonic()

    def tell(number: int) -> None:
        left = (time.monotonic() - began) / number * (kills - number)
        end = "\r" if console.is_terminal and number < kills else "\n"
        if console.is_terminal or number % 10 == 0:
            console.print(f"{kind}: {number} of {kills} kills, about {left:.0f} s left   ", end=end)

    return tell


@click.command()
@click.option("--kills", default=KILLS, show_default=True, help="Kills of each kind.")
@click.option("--seed", default=1, show_default=True, help="Chooses the moments and the victims.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only these kills.")
@click.option("--pool", default="prefork", show_default=True, help="The workers' pool.")
def main(kills: int, seed: int, kinds: tuple[str, ...], pool: str) -> None:
    """Kill what runs Sidekiq's jobs and tell whether one was lost."""
    console = Console(highlight=False)
    results = []
    for kind in kinds or KINDS:
        if kind == "child" and pool != "prefork":
            console.print(f"child: the pool {pool} has no processes of its own: left out")
            continue
        with tempfile.TemporaryDirectory(prefix="sidekiq-soak-") as folder:
            tell = _progress(console, kind, kills)
            results.append(soak(kind, kills, folder=Path(folder), seed=seed, pool=pool, done=tell))
        console.print(str(results[-1]))
    sys.exit(not all(result.is_clean for result in results))


if __name__ == "__main__":
    main()
