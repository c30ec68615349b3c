"""A RabbitMQ node of the tests' own: found, started on free ports, emptied between tests, ended by its group.

It listens on 127.0.0.1 alone, keeps its data and its cookie in a folder of its own, and has a port mapper
(epmd) of its own, so that it neither meets nor needs another RabbitMQ of the machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import amqp
import pytest
from kombu import pools

from bench.processes import Process, ProcessTable

#: How to get a RabbitMQ, where there is none.
INSTALL: Final = "no rabbitmq-server: apt-get install -y --no-install-recommends rabbitmq-server"
#: Debian's own command on PATH insists on the user rabbitmq and its folders; this one does not.
PLACES: Final = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/rabbitmq/sbin")
#: Seconds that a node may take from its start to its first connection; a loaded machine needs 20.
START_WITHIN_S: Final = 80.0
#: Seconds between two looks at a node that starts.
POLL_S: Final = 0.1
#: Queues that tests use; each test begins without them.
QUEUES: Final = ("celery", "mails", "sidekiq.dead", "old")
#: Exchanges that tests use.
EXCHANGES: Final = ("celery", "mails", "sidekiq.dead", "old")


class Node:
    """One node; the process table of its session ends it."""

    def __init__(self, folder: Path, table: ProcessTable) -> None:
        self.folder = folder
        self.port, dist, self._epmd_port = _free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._table = table
        self._server: Process | None = None
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "loopback_users = none\n"
            "log.console = false\n"
            "disk_free_limit.absolute = 50MB\n"
            "heartbeat = 60\n"
        )
        (folder / "enabled_plugins").write_text("[].")
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"tests{os.getpid()}@localhost",
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # No busy waiting: the machine has two cores, and workers to run.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._start_epmd()

    def launch(self) -> None:
        """Start the node and wait until it takes connections."""
        binary = server_binary()
        assert binary is not None
        self._server = self._table.start("rabbitmq", [binary], env=self._env, folder=self.folder)
        deadline = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if self._server.exit_code() is not None or time.monotonic() > deadline:
                pytest.fail(f"RabbitMQ does not start:\n{self._server.tail(30)}\n{self._log()}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """SIGKILL to the node and what it has started."""
        assert self._server is not None
        self._server.kill()

    def pause(self) -> None:
        """SIGSTOP to all of the node: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    def connect(self) -> amqp.Connection:
        """A connection of the test's own; close it."""
        connection = amqp.Connection(f"127.0.0.1:{self.port}", confirm_publish=True, connect_timeout=10)
        connection.connect()
        return connection

    def empty(self) -> None:
        """Delete what a test may have left; the levels of the delayed delivery stay, without messages."""
        with self.connect() as connection:
            for name in QUEUES:
                connection.channel().queue_delete(name)
            for name in EXCHANGES:
                connection.channel().exchange_delete(name)
            if _stands(connection, "celery_delayed_0"):  # declared last
                for level in range(28):
                    connection.channel().queue_purge(f"celery_delayed_{level}")

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None
        os.killpg(self._server.pid, number)

    def _start_epmd(self) -> None:
        binary = shutil.which("epmd")
        assert binary is not None, INSTALL
        command = [binary, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._table.start("epmd", command, env=self._env, folder=self.folder)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except (OSError, amqp.AMQPError):
            return False
        return True

    def _log(self) -> str:
        files = sorted((self.folder / "log").glob("*.log"))
        return "\n".join(file.read_text(errors="replace")[-3000:] for file in files)


def server_binary() -> str | None:
    """The server to start, or None where there is none."""
    for place in PLACES:
        if found := shutil.which("rabbitmq-server", path=place):
            return found
    return shutil.which("rabbitmq-server")


@pytest.fixture(scope="session")
def _rabbitmq_at_hand() -> None:
    if server_binary() is None or shutil.which("epmd") is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)


@pytest.fixture(scope="session")
def _node(tmp_path_factory: pytest.TempPathFactory, _rabbitmq_at_hand: None) -> Iterator[Node]:
    with ProcessTable() as table:
        node = Node(tmp_path_factory.mktemp("rabbitmq"), table)
        node.launch()
        yield node


@pytest.fixture
def rabbitmq(_node: Node) -> Node:
    """The session's node, running and empty whatever the test before did to it."""
    if not _node._answers():
        _node.kill()
        _node.launch()
    _node.empty()
    pools.reset()  # they are the process's, and know of queues that were declared in the test before
    return _node


@pytest.fixture
def rabbit_lab(tmp_path: Path, rabbitmq: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A lab (see `conftest`) on RabbitMQ, with `rabbit_app`."""
    from tests.celery_impl.rabbit_lab import RabbitLab  # late: it builds on conftest, which names this module

    made = RabbitLab(tmp_path, rabbitmq, monkeypatch)
    yield made
    made.close()


def _stands(connection: Any, queue: str) -> bool:
    try:
        connection.channel().queue_declare(queue, passive=True)
    except amqp.NotFound:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
