"""Soak of an app on a journal: FastAPI under uvicorn with two workers, under load, killed again and again.

    python -m bench.soak.http_soak --kills 50

Threads post jobs all the time. Every other kill takes the whole server, which is started anew; the others
take one worker, which uvicorn replaces. The jobs call a real service, which counts. A job is accepted once
its request was answered with 202. Afterwards what is left is run by the server, and counted:

- done: accepted, and the service was called;
- dead: in the journal's dead set;
- doubled: called more than once, which a kill right after the call explains;
- lost: accepted, not called, not dead.

Exit with 1 if a job is lost.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

import click
import httpx

from bench.soak.journal_canvas import name_of
from bench.soak.journal_service import Service
from bench.world.server import free_ports
from inprocess.journal import Journal

#: Kills of a whole soak.
KILLS: Final = 50
#: Worker processes of the server.
WORKERS: Final = 2
#: Threads that post, and seconds that each waits after a request.
POSTERS: Final = 4
PAUSE_S: Final = 0.01
#: The longest time, s, between the server being up and the kill.
RANDOM_S: Final = 1.5
#: Seconds that the server has to be up, and to finish what is left at the end.
BEGIN_S: Final = 60.0
FINISH_S: Final = 120.0
#: Seconds between two looks.
LOOK_S: Final = 0.05


class Server:
    """uvicorn with its workers, in a process group of its own."""

    def __init__(self, folder: Path, url: str, service: Service) -> None:
        self._folder = folder
        self._env = {**os.environ, "SOAK_URL": url, "SOAK_PORT": str(service.port)}
        self._service = service
        self._process: subprocess.Popen[bytes] | None = None
        #: Where it listens now: a port that was free a moment ago may be another's after a kill.
        self.url = ""

    def start(self) -> None:
        """Start it."""
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "uvicorn", "bench.soak.http_app:app", "--workers", str(WORKERS)]
        command += ["--port", str(port), "--log-level", "warning"]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._env, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """Kill the server and all its workers."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def kill_worker(self) -> None:
        """Kill the worker that has called the service last."""
        os.kill(self._service.of("run")[-1].pid, signal.SIGKILL)

    def wait_until_it_works(self) -> None:
        """Wait until a job has run that was begun after now."""
        before, deadline = len(self._service.of("run")), time.monotonic() + BEGIN_S
        while len(self._service.of("run")) == before:
            if time.monotonic() > deadline:
                log = (self._folder / "server.log").read_text(errors="replace")
                raise TimeoutError(
                    f"no job ran within {BEGIN_S:g} s; the end of the server's log:\n{log[-2000:]}"
                )
            time.sleep(LOOK_S)


class Load:
    """Threads that post jobs until `stop`, and remember which were accepted."""

    def __init__(self, server: Server) -> None:
        self.accepted: set[str] = set()
        self._server = server
        self._numbers = count()
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._post) for _ in range(POSTERS)]

    def start(self) -> None:
        """Begin to post."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait for the requests under way."""
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _post(self) -> None:
        with httpx.Client() as client:
            while not self._ends.wait(PAUSE_S):
                name = f"job-{next(self._numbers)}"
                with suppress(httpx.HTTPError):  # it was killed: nothing was promised
                    if client.post(f"{self._server.url}/jobs/{name}").status_code == httpx.codes.ACCEPTED:
                        self.accepted.add(name)


def soak(folder: Path, kills: int, seed: int) -> tuple[Counter[str], int]:
    """Kill so often, let the rest finish; return the counts, and how many kills took the whole server."""
    url, moments = f"sqlite:///{folder}/app.db", random.Random(seed)  # noqa: S311 - it draws moments
    with Service() as service:
        server = Server(folder, url, service)
        load = Load(server)
        try:
            server.start()
            load.start()
            for number in range(kills):
                server.wait_until_it_works()
                time.sleep(moments.uniform(0.0, RANDOM_S))
                if number % 2:
                    server.kill_worker()
                else:
                    server.kill()
                    server.start()
            server.wait_until_it_works()
            load.stop()
            return _counts(url, service, load), -(-kills // 2)
        finally:
            load.stop()
            server.kill()


def _counts(url: str, service: Service, load: Load) -> Counter[str]:
    journal = Journal(url)
    try:
        deadline = time.monotonic() + FINISH_S
        while (stats := journal.stats()).waiting + stats.scheduled + stats.retries + stats.running:
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_S)
        calls = Counter(call.name for call in service.of("effect"))
        dead = {name_of(job.row) for job in journal.dead}
    finally:
        journal.close()
    accepted = load.accepted
    return Counter(
        accepted=len(accepted),
        done=len(accepted & calls.keys()),
        dead=len(dead),
        doubled=sum(times > 1 for times in calls.values()),
        lost=len(accepted - calls.keys() - dead),
    )


@click.command()
@click.option("--kills", default=KILLS, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Chooses the moments.")
def main(kills: int, seed: int) -> None:
    """Kill a FastAPI app on a journal under load, and print whether a job was lost."""
    with tempfile.TemporaryDirectory(prefix="http-soak-") as folder:
        began = time.monotonic()
        counts, whole = soak(Path(folder), kills, seed)
    found = ", ".join(f"{counts[name]} {name}" for name in ("accepted", "done", "dead", "doubled", "lost"))
    seconds = time.monotonic() - began
    click.echo(f"{kills} kills ({whole} of the server, the others of a worker): {found}; {seconds:.0f} s")
    sys.exit(counts["lost"] > 0)


if __name__ == "__main__":
    main()
