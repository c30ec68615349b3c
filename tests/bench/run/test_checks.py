"""What is found out before a run starts: brokers and databases that cannot be used, real ones."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.commands import main
from bench.world.server import server_binary

PATIENCE_S = 20.0
Start = Callable[..., str]


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """A server with these options; yields its address."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        port, bus = (probe.getsockname()[1] for probe in (first, second))
    # By default the cluster's own port is 10,000 higher, and there may be none.
    ports = ["--port", str(port), "--cluster-port", str(bus)]
    command = [server_binary(), *ports, "--bind", "127.0.0.1", "--save", "", *options]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            _await(port)
            yield f"127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGKILL)


def _await(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(served(tmp_path_factory.mktemp("server"), *options))


def refused(out: Path, **env: str) -> str:
    """What a run says that is refused in one line, leaving nothing."""
    out.mkdir()
    (out / "latest").symlink_to("earlier")
    words = ["run", "--profile", "smoke", "--side", "celery-hardened", "--measure", "latency"]
    done = CliRunner().invoke(main, [*words, "--out", str(out)], env=env)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert [path.name for path in out.iterdir()] == ["latest"]
    assert os.readlink(out / "latest") == "earlier"  # noqa: PTH115 - the link itself
    return line


@pytest.mark.parametrize(
    ("options", "user", "told"),
    [
        (("--replicaof", "127.0.0.1", "1"), "", "read only replica"),
        (("--cluster-enabled", "yes"), "", "a server in cluster mode, over which Celery cannot send"),
        (("--requirepass", "right"), ":wrong@", "refuses the user or the password"),
        (("--requirepass", "right"), "", "refuses the user or the password"),
        (("--maxmemory", "1"), "", "cannot be used"),
    ],
    ids=["replica", "cluster", "wrong password", "no password", "out of memory"],
)
def test_a_redis_that_answers_and_cannot_be_used_is_refused(
    tmp_path: Path, start: Start, options: tuple[str, ...], user: str, told: str
) -> None:
    line = refused(tmp_path / "results", REDIS_URL=f"redis://{user}{start(*options)}")
    assert told in line
    assert "wrong" not in line


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("foo", "Could not parse SQLAlchemy URL"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/shop", "Connection refused"),
        ("sqlite:////no/such/folder/shop.db", "unable to open database file"),
        ("nosuch://127.0.0.1/shop", "nosuch"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused(tmp_path: Path, url: str, told: str) -> None:
    line = refused(tmp_path / "results", DATABASE_URL=url)
    assert line.startswith("queue-or-task: DATABASE_URL names no database that can be used (")
    assert told in line
    assert "secret" not in line
