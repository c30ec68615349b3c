"""A RabbitMQ node on ports and in a folder of its own, which can be killed, paused and started again.

Needs `rabbitmq-server` and `epmd` on the machine (INSTALL). Nothing of the machine's own node, user or
folders is touched; each node has an epmd of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Final

import amqp

from bench.errors import BenchError
from bench.process.process_table import Process, ProcessTable
from bench.world.server import free_ports

#: How to get a RabbitMQ, where there is none.
INSTALL: Final = "no rabbitmq-server: apt-get install -y --no-install-recommends rabbitmq-server"
#: Debian's own command on PATH insists on the user rabbitmq and its folders; this one does not.
PLACES: Final = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/rabbitmq/sbin")
#: Seconds that a node may take from its start to its first connection; a loaded machine needs 20.
START_WITHIN_S: Final = 80.0
#: Seconds between two looks at a node that starts.
POLL_S: Final = 0.1


def missing() -> str:
    """How to install what is missing here, or nothing."""
    return "" if server_binary() and shutil.which("epmd") else INSTALL


class Node:
    """One node; `stop` or the process table of its session ends it."""

    #: It was started here, so that it may be killed.
    ours = True

    def __init__(self, folder: Path, table: ProcessTable) -> None:
        self.folder = folder
        self.port, dist, self._epmd_port = free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._table = table
        self._servers: list[Process] = []
        folder.mkdir(parents=True, exist_ok=True)
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
            "RABBITMQ_NODENAME": f"bench{os.getpid()}-{self.port}@localhost",
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

    @property
    def pid(self) -> int:
        """The node's process id."""
        return self._running.pid

    def cpu_s(self) -> float:
        """Seconds of processor time that the node has used, over all its launches."""
        return sum(server.cpu_s() for server in self._servers)

    @property
    def environment(self) -> dict[str, str]:
        """What its clients need."""
        return {"AMQP_URL": self.url}

    def restart(self) -> None:
        """Start it again after `kill`, on its port and folder."""
        self.launch()

    def restart_in_order(self) -> None:
        """End the node with SIGTERM, so that all is on the disk, and start it again.

        RabbitMQ 3.10 writes the name of a quorum queue seconds after the queue was declared. A kill before
        that leaves a queue that cannot be opened any more (INTERNAL_ERROR), with all of its messages.
        """
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + START_WITHIN_S
        while self._running.exit_code() is None:
            if time.monotonic() > deadline:
                raise BenchError(f"RabbitMQ does not end at SIGTERM:\n{self._log()}")
            time.sleep(POLL_S)
        self.launch()

    def begin_anew(self) -> None:
        """Kill it and start it with nothing that it had: queues, messages and users are gone."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        self.launch()

    def stop(self) -> None:
        """End it and its epmd at once."""
        self._running.kill()
        self._epmd.kill()

    @property
    def _running(self) -> Process:
        if not self._servers:
            raise BenchError("the RabbitMQ node was never launched")
        return self._servers[-1]

    def launch(self) -> None:
        """Start the node and wait until it takes connections; raise BenchError where it does not start."""
        binary = server_binary()
        if binary is None:
            raise BenchError(INSTALL)
        server = self._table.start("rabbitmq", [binary], env=self._env, folder=self.folder)
        self._servers.append(server)
        deadline = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if server.exit_code() is not None or time.monotonic() > deadline:
                raise BenchError(f"RabbitMQ does not start:\n{server.tail(30)}\n{self._log()}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """SIGKILL to the node and what it has started."""
        self.cpu_s()
        self._running.kill()

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

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self._running.pid, number)

    def _start_epmd(self) -> None:
        binary = shutil.which("epmd")
        if binary is None:
            raise BenchError(INSTALL)
        command = [binary, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._epmd = self._table.start("epmd", command, env=self._env, folder=self.folder)

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
