"""Soak of `inprocess.journal`: kill -9 one of two processes that share a journal, again and again, and count.

    python -m bench.soak.journal_soak --kills 200
    python -m bench.soak.journal_soak --kills 200 --store postgresql

Every other kill is at a random moment; the others are at a planted point, where the process kills itself:
before, within and after the transaction of an enqueue, claim, completion, failure, registration and
reaping, before a run, and after its effect. A kill counts if jobs were exposed: accepted, and not done. The
jobs call a real service, which counts. Afterwards:

1. a job that was accepted and had no effect is lost;
2. a job with two effects is doubled; that is explained if every effect before the last came from a process
   that was killed within DOUBT_S of it;
3. a job is buried if three processes in a row were killed while it ran, which is the rule; another dead
   job is lost, for nothing is wrong with any of them. It is an innocent if the service has heard fewer than
   three of those runs begin: then a death was counted for a job that had not begun.

Exit with 1 if a job is lost, or a repeat is unexplained; 130 after Ctrl-C, 143 after SIGTERM. Innocents are
counted and shown: they are in the dead set, so not lost (see docs/journal.md).
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import psycopg
from rich.console import Console

from bench.errors import EXIT_INTERRUPTED
from bench.process.signals import interrupted_by_signals
from bench.soak.journal_app import POINTS
from bench.soak.journal_canvas import name_of
from bench.soak.journal_service import Call, Service
from bench.world.postgres import PostgresServer
from inprocess.journal import Journal
from inprocess.journal.model.job import MAX_KILLS

#: Kills of a whole soak.
KILLS: Final = 200
#: Seconds that a process has to begin, to reach its point, and to finish what is left at the end.
BEGIN_S: Final = 60.0
REACH_S: Final = 20.0
FINISH_S: Final = 120.0
#: The longest time, s, after which a process is killed at random.
RANDOM_S: Final = 0.6
#: Seconds after an effect within which a kill explains that it is repeated.
DOUBT_S: Final = 2.0
#: Seconds after a kill in which what it has cut may run again: three deaths in a row bury a job.
PAUSE_S: Final = 0.5
#: How often a point is passed, at most, before it kills: the jobs of the kill before have run by then, so
#: that no job is killed three times but by chance.
NTH: Final = 60


@dataclass(frozen=True, slots=True)
class SoakResult:
    """What became of the jobs. `unexposed`: kills that exposed no job, or missed their point; not counted."""

    kills: int
    planted: int
    unexposed: int
    accepted: int
    lost: int
    buried: int
    innocents: int
    doubled: int
    unexplained: int
    users_without_job: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, or repeated without a kill."""
        return not (self.lost or self.unexplained or self.users_without_job)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.planted} at planted points; {self.unexposed} more not counted): of "
            f"{self.accepted} accepted jobs {self.lost} lost, {self.buried} buried after three deaths "
            f"({self.innocents} of them without three runs), "
            f"{self.doubled} doubled ({self.unexplained} of them not by a kill); "
            f"{self.users_without_job} users without their job"
        )


class Storm:
    """Two processes on one journal, of which one is killed at a time."""

    def __init__(self, folder: Path, url: str, seed: int) -> None:
        self._folder = folder
        self._url = url
        self._random = random.Random(seed)  # noqa: S311 - it draws moments
        self._service = Service()
        self._running: list[subprocess.Popen[bytes]] = []
        self._killed: dict[int, float] = {}
        self._counts = {"kills": 0, "planted": 0, "unexposed": 0}

    def run(self, kills: int, console: Console | None = None) -> SoakResult:
        """Kill so often, let the rest finish, and count."""
        with self._service:
            try:
                while self._counts["kills"] < kills:
                    count = self._counts["kills"]
                    if not self._running:
                        self._start(None)
                    self._strike(POINTS[count // 2 % len(POINTS)] if count % 2 else None)
                    if console is not None and self._counts["kills"] % 10 == 0:
                        console.print(f"{self._counts['kills']} of {kills} kills")
                return self._finish()
            finally:
                while self._running:
                    self._kill(self._running.pop())

    def _start(self, point: str | None, *options: str) -> None:
        command = [sys.executable, "-m", "bench.soak.journal_app", "--url", self._url]
        command += ["--port", str(self._service.port), *options]
        if point is not None:
            command += ["--point", point, "--nth", str(self._random.randint(1, _most(point)))]
        with (self._folder / "app.log").open("ab") as log:
            self._running.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _strike(self, point: str | None) -> None:
        """Start a second process, and kill it at its point, or one of the two at a random moment."""
        self._start(point)
        for process in self._running if point is None else self._running[:1]:
            self._service.wait_for("effect", process, BEGIN_S)
        if point is None:
            time.sleep(self._random.uniform(0.0, RANDOM_S))
            self._kill(self._running.pop(self._random.randrange(len(self._running))))
        else:
            planted = self._running.pop()
            if point.endswith("reap"):  # there is something to reap
                self._service.wait_for("effect", planted, BEGIN_S)
                self._kill(self._running.pop())
            with suppress(subprocess.TimeoutExpired):
                planted.wait(REACH_S)
            is_reached = planted.poll() is not None
            self._kill(planted)
            if not is_reached:
                self._counts["unexposed"] += 1
                return
        if self._service.names("accepted") <= self._service.names("effect"):
            self._counts["unexposed"] += 1
            return
        self._counts["kills"] += 1
        self._counts["planted"] += point is not None

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self._killed[process.pid] = time.monotonic()
        time.sleep(PAUSE_S)

    def _finish(self) -> SoakResult:
        while self._running:
            self._kill(self._running.pop())
        self._start(None, "--runs-only")
        journal = Journal(self._url)
        try:
            deadline = time.monotonic() + FINISH_S
            while time.monotonic() < deadline:
                stats = journal.stats()
                if not stats.waiting + stats.scheduled + stats.retries + stats.running:
                    break
                time.sleep(0.1)
            return self._counted(journal)
        finally:
            journal.close()

    def _counted(self, journal: Journal) -> SoakResult:
        accepted, effects = self._service.names("accepted"), self._service.of("effect")
        buried = {name_of(job.row) for job in journal.dead if job.kills >= MAX_KILLS}
        by_name: dict[str, list[Call]] = defaultdict(list)
        for call in effects:
            by_name[call.name].append(call)
        innocents = [name for name in buried if len(self._deaths_of(name)) < MAX_KILLS]
        lost = accepted - by_name.keys() - buried
        for name in (*sorted(lost), *sorted(buried)):
            self._tell(name, journal)
        doubled = [calls for calls in by_name.values() if len(calls) > 1]
        unexplained = sum(not all(map(self._is_explained, calls[:-1])) for calls in doubled)
        return SoakResult(
            **self._counts, accepted=len(accepted), lost=len(lost), buried=len(buried),
            innocents=len(innocents), doubled=len(doubled), unexplained=unexplained,
            users_without_job=self._users_without_job(by_name.keys() | buried),
        )  # fmt: skip

    def _deaths_of(self, name: str) -> set[int]:
        """The processes that were killed after the service had heard them begin a job."""
        return {call.pid for call in self._service.of("run") if call.name == name} & self._killed.keys()

    def _tell(self, name: str, journal: Journal) -> None:
        """Print what is known of a job that did not end well, for whoever looks into it."""
        calls = sorted((call for call in self._service.calls if call.name == name), key=lambda call: call.at)
        for call in calls:
            died = self._killed.get(call.pid)
            told = "" if died is None else f", killed {died - call.at:.3f} s later"
            click.echo(f"{name}: {call.event} in {call.pid}, attempt {call.attempt}{told}")
        for of in (journal.dead, journal.done, journal.parked, journal.waiting, journal.running):
            for job in of:
                if name_of(job.row) == name:
                    click.echo(f"{name}: {of.name}, attempt {job.attempt}, kills {job.kills}: {job.error}")

    def _is_explained(self, effect: Call) -> bool:
        return self._killed.get(effect.pid, float("inf")) - effect.at < DOUBT_S

    def _users_without_job(self, effected: AbstractSet[str]) -> int:
        """The users of the app's own transactions whose job had no effect."""
        if not self._url.startswith("sqlite:"):
            with psycopg.connect(self._url) as users:
                return len({name for (name,) in users.execute("select name from soak_user")} - effected)
        with sqlite3.connect(self._url.removeprefix("sqlite:///")) as connection:
            names = {name for (name,) in connection.execute("select name from soak_user")}
        connection.close()
        return len(names - effected)


def _most(point: str) -> int:
    """How often a point is passed at most before it kills: what happens once a start is met at once."""
    return 1 if point.split()[1] in {"register", "reap"} else NTH


@click.command()
@click.option("--kills", default=KILLS, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Chooses the moments and the victims.")
@click.option(
    "--store",
    type=click.Choice(["sqlite", "postgresql"]),
    default="sqlite",
    show_default=True,
    help="The database, which is made for the soak and deleted afterwards.",
)
@click.option("--url", help="A database that is there already, in place of that.")
def main(kills: int, seed: int, store: str, url: str | None) -> None:
    """Kill processes that share a journal, and print whether a job was lost."""
    console = Console(highlight=False)
    began, result = time.monotonic(), None
    with (
        interrupted_by_signals() as received,
        tempfile.TemporaryDirectory(prefix="journal-soak-") as folder,
        suppress(KeyboardInterrupt),
        ExitStack() as stack,
    ):
        place = url or f"sqlite:///{folder}/soak.db"
        if url is None and store == "postgresql":
            place = stack.enter_context(PostgresServer(syncs=True)).url()
        storm = Storm(Path(folder), place, seed)
        result = storm.run(kills, console)
    if result is None:
        kept = f"the journal stays at {url}" if url else "its journal is deleted"
        console.print(f"interrupted: no job was counted; {kept}")
        sys.exit(128 + received[0] if received else EXIT_INTERRUPTED)
    console.print(f"{result}; {time.monotonic() - began:.0f} s")
    sys.exit(not result.is_clean)


if __name__ == "__main__":
    main()
