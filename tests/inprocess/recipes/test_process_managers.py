"""SIGTERM, then SIGKILL, as docker and systemd send them; and one of many workers that ticks."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tests.inprocess.recipes.page import Server, commands, files, running, serving, write

DOCKER = "docker and systemd"
LEASED = "One of many workers runs the ticks"
#: Seconds from SIGTERM to SIGKILL.
DOCKER_S = 10.0


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """The command that runs another as PID 1 of a PID namespace, as a container does."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *as_root, "--pid", "--fork", "--kill-child"]
    why = "unshare is not installed: install util-linux"
    if shutil.which("unshare"):
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return command
        why = f"PID namespaces are not allowed ({tried.stderr.strip()}): run as root, or privileged"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def end_as_docker_does(server: Server) -> float:
    """Send SIGTERM to PID 1 of the container, and return the seconds until it ended; SIGKILL is too late."""
    (first,) = psutil.Process(server.process.pid).children()
    begun = time.monotonic()
    first.send_signal(signal.SIGTERM)
    server.process.wait(DOCKER_S)
    return time.monotonic() - begun


def container(arguments: list[str], namespace: list[str]) -> list[str]:
    written = re.search(r"CMD (.*)", files(DOCKER)["Dockerfile"])
    assert written is not None
    program, *rest = json.loads(written[1])
    assert program == "python"
    return [*namespace, sys.executable, *rest[:1], *(arguments or rest[1:])]


def test_pid_1_finishes_what_ends_within_the_grace(namespace: list[str], tmp_path: Path) -> None:
    write(DOCKER, tmp_path)
    with running(container(["8", "0.5"], namespace), tmp_path) as server:
        server.until("running")
        assert end_as_docker_does(server) < DOCKER_S
        assert "sent 1\n" in server.output
        assert "sent 2\n" in server.output
        assert "cut off" not in server.output.replace("none cut off", "")


@pytest.mark.parametrize(
    "arguments", [["2", "3600"], pytest.param([], marks=pytest.mark.slow)], ids=["2 s", "8 s"]
)
def test_pid_1_names_what_it_cuts_off_before_docker_kills(
    arguments: list[str], namespace: list[str], tmp_path: Path
) -> None:
    write(DOCKER, tmp_path)
    with running(container(arguments, namespace), tmp_path) as server:
        server.until("running")
        assert end_as_docker_does(server) < DOCKER_S
        assert "sent 1\n" in server.output
        assert "1 cut off and lost" in server.output
        assert "mail(2, 3600.0)" in server.output


@pytest.mark.parametrize("mode", ["mixed", "control-group"])
def test_a_job_in_a_process_needs_systemds_kill_mode_mixed(mode: str, tmp_path: Path) -> None:
    assert "KillMode=mixed" in files(DOCKER)["worker.service"]
    (tmp_path / "worker.py").write_text(
        textwrap.dedent("""
            import signal, time
            from inprocess import TaskSupervisor

            def mail():
                print("begun", flush=True)
                time.sleep(1)
                print("sent", flush=True)

            if __name__ == "__main__":
                TaskSupervisor.start().start_child(mail, isolation="process")
                signal.pause()
        """)
    )
    with running([sys.executable, "worker.py"], tmp_path) as server:
        server.until("begun")
        others = psutil.Process(server.process.pid).children(recursive=True)
        for process in others if mode == "control-group" else []:  # systemd's default: all of the unit
            process.send_signal(signal.SIGTERM)
        server.end()
        assert ("sent" in server.output) == (mode == "mixed"), server.output


@pytest.mark.slow
def test_one_of_three_workers_ticks_and_another_goes_on_when_it_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    write(LEASED, tmp_path)
    (command,) = commands(LEASED)
    with serving(command, tmp_path) as server:
        server.until("tick in", 3)
        holders = re.findall(r"tick in (\d+)", server.output)
        assert len(set(holders)) == 1
        os.kill(int(holders[0]), signal.SIGKILL)
        before = server.output.count(f"tick in {holders[0]}\n")
        server.until("tick in", before + 5)
        after = re.findall(r"tick in (\d+)", server.output)[before:]
        assert len(set(after)) == 1
        assert after[0] != holders[0]
        assert server.end() == 0
