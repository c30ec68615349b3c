from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import redis
from celery._state import _get_active_apps  # type: ignore[attr-defined]  # private
from celery.backends.redis import RedisBackend
from kombu import pools

from bench.world.broker import Broker, BrokerError, server_binary
from celery_impl.sidekiq import Sets
from celery_impl.sidekiq.redis import store
from scenarios.ledger import whole_lines
from tests.celery_impl.rabbit import _node, _rabbitmq_at_hand, rabbit_lab, rabbitmq  # noqa: F401 - fixtures
from tests.fork_server import CELERY, ForkServer, Program

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
#: Seconds that anything awaited by a test may take: a worker takes 25 to start on a machine that is full.
PATIENCE_S = 60.0


def close_connections(app: Any) -> None:
    """Close what the app has opened in this process; it opens it again where it is used again.

    The garbage collector closes what is left in no certain order: a socket that goes before its connection
    warns that it was open, and fails the test of that moment. So does one that it opens: a result that is
    collected with its app unsubscribes, over a connection whose finalizer has run.
    """
    fast = vars(vars(app).get("amqp", app)).get("sidekiq_fast_enqueue")
    if fast is not None:
        fast._connection.release()
        fast._begin()
    if app in store._stores:
        store._stores.pop(app).close()
    backend: Any = getattr(app, "_backend_cache", None) or getattr(app._local, "backend", None)
    if isinstance(backend, RedisBackend) and "client" in vars(backend):
        results: Any = vars(backend)["result_consumer"]
        results.stop()
        results._pubsub = None
        backend.client.connection_pool.disconnect()


class Worker:
    """One real `celery worker` in a process group of its own, killed with its test."""

    def __init__(
        self, server: ForkServer, log: Path, env: dict[str, str], app: str, arguments: list[str]
    ) -> None:
        self._log = log
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO"]
        command = ["-A", app, "worker", "-n", f"{log.stem}@%h", *quiet, *arguments]
        env = {**os.environ, **env}
        self._process = server.start("celery", *command, out=log, env=env, folder=log.parent)

    @property
    def ended(self) -> bool:
        """Whether the worker's main process has ended by itself."""
        return self._process.poll() is not None

    @property
    def children(self) -> list[int]:
        """Process ids of the processes that run the jobs."""
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def ready(self) -> bool:
        if self.ended:
            pytest.fail(f"the worker ended:\n{self.output}")
        return " ready." in self.output

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL to the worker and its children, as the kernel's memory killer or a lost host does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def exit_code(self) -> int | None:
        """How the worker's main process ended; negative for a signal, None while it runs."""
        return self._process.poll()

    def pause(self) -> None:
        """SIGSTOP to the main process alone; the processes of its jobs go on."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._process.send_signal(signal.SIGCONT)

    def begin_stop(self) -> None:
        """SIGTERM, and do not wait."""
        self._process.terminate()

    def quit(self) -> None:
        """SIGQUIT, Celery's cold shutdown, and do not wait."""
        self._process.send_signal(signal.SIGQUIT)

    def terminate(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def terminate_group(self) -> None:
        """SIGTERM to the main process and all others, as systemd does."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(PATIENCE_S)

    def kill_main(self) -> None:
        """SIGKILL to the main process alone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class Lab:
    """A broker, the sample app in a profile, workers, and what the jobs wrote."""

    #: The module of the app, and the folder that it lies in.
    app = "sample_app"
    apps = HERE

    def __init__(
        self, folder: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch, server: ForkServer
    ) -> None:
        self.folder = folder
        self._server = server
        self.broker = broker
        self.redis: Any = redis.Redis.from_url(broker.url, decode_responses=True)
        self.sets = Sets(redis.Redis.from_url(broker.url))
        self.env = {
            **broker.environment,
            "PYTHONPATH": f"{ROOT}:{self.apps}",
            "SAMPLE_LOG": str(folder / "runs"),
            "SIDEKIQ_RETRY_SCALE": "0.01",
        }
        self._monkeypatch = monkeypatch
        self._workers: list[Worker] = []
        self._samples: list[Any] = []  # held, so that none is collected within a test

    def sample(self, profile: str = "hardened", **env: str) -> Any:
        """The sample app's module, made anew for the profile; workers started later use it too."""
        self.env |= {"QUEUE_OR_TASK_PROFILE": profile, **env}
        for name, value in self.env.items():
            self._monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location(self.app, self.apps / f"{self.app}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._samples.append(module)
        return module

    def worker(self, *arguments: str) -> Worker:
        """Start a worker, by default with two processes, and wait until it is ready."""
        [started] = self.workers(1, *arguments)
        return started

    def workers(self, count: int, *arguments: str) -> list[Worker]:
        """As `worker`, several at once."""
        return self.workers_each(*[arguments] * count)

    def workers_each(self, *each: tuple[str, ...]) -> list[Worker]:
        """One worker for each tuple of arguments, all at once."""
        started = [self.start(*arguments) for arguments in each]
        self.eventually(lambda: all(worker.ready for worker in started))
        return started

    def start(self, *arguments: str) -> Worker:
        """Start a worker and do not wait for it."""
        log = self.folder / f"worker{len(self._workers)}.log"
        self._workers.append(
            Worker(self._server, log, self.env, self.app, list(arguments or ("--concurrency", "2")))
        )
        return self._workers[-1]

    def begin(self, log: Path, *arguments: str) -> Program:
        """Start `celery ARGUMENTS`, which its test ends; its output goes into the log."""
        env = {**os.environ, **self.env}
        return self._server.start("celery", *arguments, out=log, env=env, folder=self.folder)

    def celery(self, *arguments: str) -> CompletedProcess[str]:
        """Run `celery ARGUMENTS` to its end."""
        env = {**os.environ, **self.env}
        return self._server.run("celery", *arguments, env=env, folder=self.folder)

    def runs(self, event: str, job: str) -> list[tuple[int, float]]:
        """Process id and monotonic time of every such event of the job."""
        path = self.folder / "runs"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(int(pid), float(t)) for name, whose, pid, t in lines if (name, whose) == (event, job)]

    def eventually(self, look: Callable[[], Any], *, within_s: float = PATIENCE_S) -> Any:
        """What `look` returns as soon as it is true; fail the test where it never is."""
        deadline = time.monotonic() + within_s
        while not (found := look()):
            if time.monotonic() > deadline:
                pytest.fail(f"not within {within_s} s; last look: {found!r}\n{self._outputs()}")
            time.sleep(0.02)
        return found

    def failures(self) -> list[dict[str, Any]]:
        """The `failed` events of every process's ledger."""
        files = [path.read_bytes() for path in self.folder.glob("events-*.jsonl")]
        lines = [line for file in files for line in whole_lines(file)]
        return [event for event in map(json.loads, lines) if event["event"] == "failed"]

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self.redis.close()

    def _outputs(self) -> str:
        return "\n".join(worker.output[-3000:] for worker in self._workers)


@pytest.fixture(scope="session")
def _broker_at_hand() -> None:
    try:
        server_binary()
    except BrokerError as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory, _broker_at_hand: None) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("broker")
    with Broker.start(folder, persistence=True, env={"PATH": os.environ["PATH"]}) as started:
        yield started


@pytest.fixture
def broker(_server: Broker) -> Iterator[Broker]:
    """The session's broker, running and empty whatever the test before did to it."""
    try:
        _server.resume()
    except BrokerError:
        _server.restart()
    with redis.Redis.from_url(_server.url) as client:
        client.flushall()
        client.script_flush()
    yield _server
    pools.reset()  # they are the process's: connections that the broker may have closed in this test
    for app in tuple(_get_active_apps()):
        close_connections(app)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Starts workers; see there."""
    server = ForkServer(CELERY)
    yield server
    server.close()


@pytest.fixture
def lab(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch, fork_server: ForkServer
) -> Iterator[Lab]:
    made = Lab(tmp_path, broker, monkeypatch, fork_server)
    yield made
    made.close()
