"""Workers, a broker and a producer under load, and the kinds of kill."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis
from celery import chord
from kombu.exceptions import OperationalError

from bench.soak.sidekiq_app import COROUTINES, LOG, build
from bench.soak.sidekiq_count import Result, runs_of
from bench.world.broker import Broker
from celery_impl.sidekiq import Sets

#: Jobs that wait at any moment.
BACKLOG: Final = 60
#: Of so many jobs one has another that follows it.
CANVAS_EACH: Final = 5
#: The longest job, seconds.
JOB_S: Final = 0.06
#: The longest pause between two kills, seconds.
PAUSE_S: Final = 1.5
#: After so many seconds in which no job ends, a job that is not done counts as lost.
QUIET_S: Final = 30.0
#: The longest start of a worker, seconds.
START_S: Final = 60.0
WORKERS: Final = 2
#: Jobs that a worker runs at once, and what it fetches ahead for each.
OPTIONS: Final = ("--concurrency", "2", "--prefetch-multiplier", "4")
AIO_OPTIONS: Final = ("--concurrency", "20", "--prefetch-multiplier", "1")
QUIET: Final = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO")
ROOT: Final = Path(__file__).parent.parent.parent

_WITH_PARENT: Final = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
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
        if pool == "aio":
            self._env[COROUTINES] = "1"
        self._app, self._job, self._part = build(self._env)
        self._started: list[subprocess.Popen[bytes]] = []
        self.workers = [self.start_worker() for _ in range(WORKERS)]
        self.accepted: set[str] = set()
        self.follows: dict[str, tuple[str, ...]] = {}
        self.refused = 0
        self._stopped = threading.Event()
        self._producer = threading.Thread(target=self._produce, daemon=True)
        for worker in self.workers:
            self.await_ready(worker)

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker; it dies with this process."""
        number = len(self._started)
        own = AIO_OPTIONS if self._pool == "aio" else OPTIONS
        options = [*own, "--pool", self._pool, "-n", f"soak{number}@%h", *QUIET]
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
        """Return the process ids of the workers' children, which run the jobs."""
        files = [Path(f"/proc/{worker.pid}/task/{worker.pid}/children") for worker in self.workers]
        return [int(child) for file in files if file.exists() for child in file.read_text().split()]

    def begin(self) -> None:
        """Start the producer."""
        self._producer.start()

    def await_work(self) -> None:
        """Wait until a job begins, so that a kill meets workers at work; at most `START_S`."""
        size, deadline = self._log.stat().st_size, time.monotonic() + START_S
        while self._log.stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.01)

    def settle(self, result: Result) -> None:
        """Wait until every accepted job has ended, or none has for `QUIET_S`; then fill in the result."""
        self._stopped.set()
        self._producer.join()
        result.accepted, result.refused, result.follows = self.accepted, self.refused, self.follows
        seen, since = -1, time.monotonic()
        while missing := self._missing(result):
            if len(missing) != seen:
                seen, since = len(missing), time.monotonic()
            if time.monotonic() - since > QUIET_S:
                break
            time.sleep(0.2)
        result.missing = missing

    def logs_of_ended_workers(self) -> list[str]:
        """Return the end of the log of each worker that is not running."""
        logs = [
            self._worker_log(self._started.index(worker))
            for worker in self.workers
            if worker.poll() is not None
        ]
        return [log.read_text(errors="replace")[-2000:] for log in logs]

    def close(self) -> None:
        """End every process that this object started."""
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
                buried = {dead_job.args[0] for dead_job in Sets(client).dead_jobs()}
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
                    self._send(number)
            except (OperationalError, redis.RedisError, OSError):
                self.refused += 1
            self._stopped.wait(0.05)
        client.close()
        # Celery has a backend per thread, and closes none.
        backend: Any = self._app.backend
        backend.client.connection_pool.disconnect()

    def _send(self, number: int) -> None:
        """Send a job, or one in CANVAS_EACH times a chain, a job with a link, a chord."""
        name, after = f"job{number}", f"job{number}.after"
        kind, left = divmod(number % (3 * CANVAS_EACH), CANVAS_EACH)
        before: tuple[str, ...] = (name,)
        if left:
            self._job.delay(name, self._length())
            self.accepted.add(name)
            return
        if kind == 0:
            (self._one(name) | self._one(after)).delay()
        elif kind == 1:
            self._one(name).apply_async(link=self._one(after))
        else:
            before = (f"{name}.left", f"{name}.right")
            chord([self._part.si(part, self._length()) for part in before])(self._one(after))
        self.follows[after] = before
        self.accepted.update(before, (after,))

    def _one(self, name: str) -> Any:
        return self._job.si(name, self._length())

    def _length(self) -> float:
        return self._lengths.uniform(0, JOB_S)

    def _worker_log(self, number: int) -> Path:
        return self._folder / f"worker{number}.log"


def kill_a_child(soak: Soak) -> float:
    """Kill a process that runs jobs; return the time of the kill."""
    while not (children := soak.children()):
        time.sleep(0.01)
    os.kill(soak.random.choice(children), signal.SIGKILL)
    return time.monotonic()


def kill_a_worker(soak: Soak) -> float:
    """Kill a worker, alone or with its children, and start another; return the time of the kill."""
    victim = soak.workers.pop(0)
    (os.kill if soak.random.random() < 0.5 else os.killpg)(victim.pid, signal.SIGKILL)  # noqa: PLR2004 - even odds
    killed = time.monotonic()
    victim.wait()
    soak.workers.append(soak.start_worker())
    soak.await_ready(soak.workers[-1])
    return killed


def kill_the_broker(soak: Soak) -> float:
    """Kill the broker and start it again on its files; return the time of the kill."""
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
    """Kill `kills` times, then count; call `done(kills so far)` after each kill. The folder keeps the logs.

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
        if logs := running.logs_of_ended_workers():
            raise RuntimeError(f"a worker ended by itself:\n{logs[0]}")
    result.seconds = time.monotonic() - began
    return result


@contextmanager
def _running(folder: Path, *, seed: int, pool: str) -> Iterator[Soak]:
    made = Soak(folder, seed=seed, pool=pool)
    try:
        yield made
    finally:
        made.close()
