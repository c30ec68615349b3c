"""Whatever ends the tests, nothing of the two hosts is left: no process, and so no namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tests.bench.cli.network_hosts import two_hosts

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30.0
TESTS = """
    import os, subprocess, time
    from pathlib import Path
    import pytest
    from tests.bench.cli import network_hosts
    from bench.world.server import server_binary

    @pytest.fixture(scope="module")
    def other_host():
        with network_hosts.two_hosts():
            command = [server_binary(), "--bind", network_hosts.ADDRESS, "--save", ""]
            broker = subprocess.Popen(network_hosts.inside("B", command), stdout=subprocess.DEVNULL)
            holders = [holder.pid for holder in network_hosts._holders.values()]
            Path("pids").write_text(" ".join(map(str, [broker.pid, *holders])))
            os.replace("pids", "ready")
            yield
            broker.terminate()
            broker.wait()

    def test_it(other_host):
        time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _where_there_can_be_two_hosts() -> None:
    with two_hosts():
        pass


@pytest.mark.parametrize(
    ("end", "testers"),
    [
        ("ctrl-c", ["--numprocesses", "1"]),
        pytest.param("ctrl-c", [], marks=pytest.mark.slow),
        pytest.param("interrupt", ["--numprocesses", "1"], marks=pytest.mark.slow),
        pytest.param("kill", [], marks=pytest.mark.slow),
        pytest.param("kill", ["--numprocesses", "1"], marks=pytest.mark.slow),
    ],
)
def test_nothing_is_left(end: str, testers: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_hosts.py").write_text(textwrap.dedent(TESTS))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", *testers]
    output = tmp_path / "output"
    with output.open("wb") as told:
        suite = subprocess.Popen(
            [*command, "test_hosts.py"], cwd=tmp_path, stdout=told, stderr=told, process_group=0,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    started = tmp_path / "ready"
    try:
        until = time.monotonic() + PATIENCE_S
        while not started.exists():
            assert suite.poll() is None, output.read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        pids = [int(pid) for pid in started.read_text().split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
        if end == "ctrl-c":
            os.killpg(suite.pid, signal.SIGINT)
        else:
            suite.send_signal(signal.SIGINT if end == "interrupt" else signal.SIGKILL)
        suite.wait(PATIENCE_S)
        until = time.monotonic() + PATIENCE_S
        while left := [pid for pid in pids if psutil.pid_exists(pid)]:
            assert time.monotonic() < until, [psutil.Process(pid).cmdline() for pid in left]
            time.sleep(0.05)
    finally:
        suite.kill()
        suite.wait()
