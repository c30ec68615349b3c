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

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import redis
from kombu.exceptions import OperationalError
from rich.console import Console

from bench.soak.sidekiq_app import LOG, build
from bench.world.broker import Broker
from celery_impl.sidekiq import Sets

#: Kills of each kind.
KILLS: Final = 50
#: Jobs that wait at any moment.
BACKLOG: Final = 60
#: Seconds that a job runs at most.
JOB_S: Final = 0.06
#: Seconds between two kills at most.
PAUSE_S: Final = 1.5
#: Seconds around a kill in which a job was still, or already, in the hands of what was killed.
GRACE_S: Final = 0.5
#: Seconds without a job that ends, after which what is not done counts as lost.
QUIET_S: Final = 30.0
#: Seconds that a worker may take to begin.
START_S: Final = 60.0
WORKERS: Final = 2
OPTIONS: Final = ("--concurrency", "2", "--prefetch-multiplier", "4")
KINDS: Final = ("child", "worker", "broker")
QUIET: Final = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO")
ROOT: Final = Path(__file__).parent.parent.parent

_WITH_PARENT: Final = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job: when it began, and when it was done, in seconds; None: it never was."""

    began: float
    done: float | None = None

    def met_by(self, kills: list[float], grace_s: float) -> bool:
        """Whether one of the kills met it."""
        end = float("inf") if self.done is None else self.done + grace_s
        return any(self.began - grace_s <= kill <= end for kill in kills)


@dataclass(slots=True)
class Result:
    """What was accepted, what ran, and when was killed."""

    kind: str
    accepted: set[str] = field(default_factory=set)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    kills: list[float] = field(default_factory=list)
    refused: int = 0
    buried: int = 0
    seconds: float = 0.0
    missing: set[str] = field(default_factory=set)

    @property
    def again(self) -> list[Run]:
        """Runs after which the same job began once more."""
        return [run for runs in self.runs.values() for run in sorted(runs, key=lambda run: run.began)[:-1]]

    @property
    def doubled(self) -> int:
        """Second runs of what ran at a kill."""
        return sum(run.met_by(self.kills, 0) for run in self.again)

    @property
    def on_the_edge(self) -> int:
        """Second runs of what began or ended within GRACE_S of a kill."""
        return sum(run.met_by(self.kills, GRACE_S) for run in self.again) - self.doubled

    @property
    def stray(self) -> int:
        """Second runs for which there is no reason."""
        return len(self.again) - self.doubled - self.on_the_edge

    @property
    def is_clean(self) -> bool:
        """Whether nothing is lost and nothing ran twice without a kill."""
        return not self.missing and not self.stray

    def __str__(self) -> str:
        """The result in a line."""
        verdict = "kept" if self.is_clean else "NOT KEPT"
        return (
            f"{self.kind}: {len(self.kills)} kills, {len(self.accepted):,} jobs accepted and "
            f"{self.refused:,} refused in {self.seconds:,.0f} s: {len(self.missing)} lost, "
            f"{self.doubled} run again that ran at a kill and {self.on_the_edge} on its edge, "
            f"{self.stray} stray, {self.buried} given up: {verdict}"
        )


class Soak:
    """Workers, a broker and a producer in a folder; `close` ends all of them."""

    def __init__(self, folder: Path, *, seed: int, pool: str = "prefork") -> None:
        self.random = random.Random(seed)  # noqa: S311 - when to kill is no secret
        self._lengths = random.Random(seed)  # noqa: S311 - nor how long jobs run
        self._folder = folder
        self._pool = pool
        self._log = folder / "runs"
        self._log.touch()
        own = {"PATH": os.environ["PATH"]}
        self.broker = Broker.start(folder / "broker", persistence=True, env=own)
        self._env = {"REDIS_URL": f"lease+{self.broker.url}", "QUEUE_OR_TASK_PROFILE": "hardened"}
        self._app, self._job = build(self._env)
        self._started: list[subprocess.Popen[bytes]] = []
        self.workers = [self.start_worker() for _ in range(WORKERS)]
        self.accepted: set[str] = set()
        self.refused = 0
        self._stopped = threading.Event()
        self._producer = threading.Thread(target=self._produce, daemon=True)
        for worker in self.workers:
            self.await_ready(worker)

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker; it dies with this process."""
        number = len(self._started)
        options = [*OPTIONS, "--pool", self._pool, "-n", f"soak{number}@%h", *QUIET]
        command = ["-m", "celery", "-A", "bench.soak.sidekiq_app", "worker", *options]
        env = {**os.environ, **self._env, LOG: str(self._log), "PYTHONPATH": str(ROOT)}
        with self._worker_log(number).open("wb") as out:
            self._started.append(
                subprocess.Popen(
                    [sys.executable, "-c", _WITH_PARENT, *command],
                    stdout=out,
                    stderr=out,
                    env=env,
                    process_group=0,
                )
            )
        return self._started[-1]

    def await_ready(self, worker: subprocess.Popen[bytes]) -> None:
        """Wait until the worker takes jobs; raise RuntimeError where it does not."""
        log = self._worker_log(self._started.index(worker))
        deadline = time.monotonic() + START_S
        while " ready." not in log.read_text(errors="replace"):
            if worker.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a worker did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def children(self) -> list[int]:
        """Process ids of what runs jobs in the workers."""
        files = [Path(f"/proc/{worker.pid}/task/{worker.pid}/children") for worker in self.workers]
        return [int(child) for file in files if file.exists() for child in file.read_text().split()]

    def begin(self) -> None:
        """Let the producer begin."""
        self._producer.start()

    def await_work(self) -> None:
        """Wait until a job begins: a kill finds the workers at work. Not for ever: they may all be gone."""
        size, deadline = self._log.stat().st_size, time.monotonic() + START_S
        while self._log.stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.01)

    def settle(self, result: Result) -> None:
        """Wait until all that was accepted has ended, or nothing ends any more; then fill in the result."""
        self._stopped.set()
        self._producer.join()
        result.accepted, result.refused = self.accepted, self.refused
        seen, since = -1, time.monotonic()
        while missing := self._missing(result):
            if len(missing) != seen:
                seen, since = len(missing), time.monotonic()
            if time.monotonic() - since > QUIET_S:
                break
            time.sleep(0.2)
        result.missing = missing

    def ended_by_itself(self) -> list[str]:
        """The last words of each worker that is not running."""
        logs = [
            self._worker_log(self._started.index(worker))
            for worker in self.workers
            if worker.poll() is not None
        ]
        return [log.read_text(errors="replace")[-2000:] for log in logs]

    def close(self) -> None:
        """End all that was started."""
        self._stopped.set()
        for worker in self._started:
            try:
                os.killpg(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            finally:
                worker.wait()
        self._app.close()
        self.broker.stop()

    def _missing(self, result: Result) -> set[str]:
        result.runs = runs_of(self._log.read_text())
        done = {name for name, runs in result.runs.items() if any(run.done is not None for run in runs)}
        missing = self.accepted - done
        if missing:
            with redis.Redis.from_url(self.broker.url) as client:
                buried = {grave.args[0] for grave in Sets(client).graves()}
            result.buried = len(missing & buried)
            missing -= buried
        return missing

    def _produce(self) -> None:
        client = redis.Redis.from_url(self.broker.url, socket_timeout=1.0)
        number = 0
        while not self._stopped.is_set():
            try:
                room = BACKLOG - int(client.llen("celery"))
                for _ in range(room):
                    number += 1
                    self._job.delay(f"job{number}", self._lengths.uniform(0, JOB_S))
                    self.accepted.add(f"job{number}")
            except (OperationalError, redis.RedisError, OSError):
                self.refused += 1
            self._stopped.wait(0.05)
        client.close()

    def _worker_log(self, number: int) -> Path:
        return self._folder / f"worker{number}.log"


def kill_a_child(soak: Soak) -> float:
    """Kill a process that runs jobs; return when."""
    while not (children := soak.children()):
        time.sleep(0.01)
    os.kill(soak.random.choice(children), signal.SIGKILL)
    return time.monotonic()


def kill_a_worker(soak: Soak) -> float:
    """Kill a worker, alone or with its processes, and start another one; return when."""
    victim = soak.workers.pop(0)
    (os.kill if soak.random.random() < 0.5 else os.killpg)(victim.pid, signal.SIGKILL)  # noqa: PLR2004 - even odds
    killed = time.monotonic()
    victim.wait()
    soak.workers.append(soak.start_worker())
    soak.await_ready(soak.workers[-1])
    return killed


def kill_the_broker(soak: Soak) -> float:
    """Kill the broker and start it again on its files; return when."""
    soak.broker.kill()
    killed = time.monotonic()
    time.sleep(soak.random.uniform(0, 1))
    soak.broker.restart()
    return killed


KILL: Final[dict[str, Callable[[Soak], float]]] = {
    "child": kill_a_child,
    "worker": kill_a_worker,
    "broker": kill_the_broker,
}


def soak(
    kind: str,
    kills: int,
    *,
    folder: Path,
    seed: int = 1,
    pool: str = "prefork",
    done: Callable[[int], object] = lambda _: None,
) -> Result:
    """Kill so often and count; `done(kills so far)` is called after each. The folder keeps the logs.

    Raise RuntimeError where a worker ends without having been killed.
    """
    result = Result(kind)
    began = time.monotonic()
    with _running(folder, seed=seed, pool=pool) as running:
        running.begin()
        for number in range(1, kills + 1):
            running.await_work()
            time.sleep(running.random.uniform(0, PAUSE_S))
            result.kills.append(KILL[kind](running))
            done(number)
        running.settle(result)
        if words := running.ended_by_itself():
            raise RuntimeError(f"a worker ended by itself:\n{words[0]}")
    result.seconds = time.monotonic() - began
    return result


def runs_of(text: str) -> dict[str, list[Run]]:
    """The runs of each job, from the lines that the jobs wrote."""
    began: dict[tuple[str, str], float] = {}
    runs: dict[str, list[Run]] = {}
    for line in text.splitlines():
        event, name, pid, at = line.split()
        if event == "start":
            if (name, pid) in began:
                runs.setdefault(name, []).append(Run(began[name, pid]))
            began[name, pid] = float(at)
        else:
            runs.setdefault(name, []).append(Run(began.pop((name, pid)), float(at)))
    for (name, _), since in began.items():
        runs.setdefault(name, []).append(Run(since))
    return runs


@contextmanager
def _running(folder: Path, *, seed: int, pool: str) -> Iterator[Soak]:
    made = Soak(folder, seed=seed, pool=pool)
    try:
        yield made
    finally:
        made.close()


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
