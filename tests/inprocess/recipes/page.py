"""The page of recipes, as files to write and commands to run, and servers that run them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "recipes.md").read_text()
#: The port that the commands on the page name.
PORT = "8000"
#: Seconds until a server answers, or a text comes, or a server ends.
PATIENCE_S = 45.0

_SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./]+)")


def headings() -> list[str]:
    return [heading for heading, _ in _SECTION.findall(PAGE)]


def files(heading: str) -> dict[str, str]:
    """The files of a recipe by name; their first line is a comment with the name."""
    found = {}
    for language, text in _BLOCK.findall(dict(_SECTION.findall(PAGE))[heading]):
        if language != "console":
            named = _FILE.match(text)
            assert named, f"{heading}: a block names no file: {text[:50]}"
            found[named[1]] = text
    return found


def commands(heading: str) -> list[str]:
    """The commands of a recipe, as they stand on the page."""
    blocks = _BLOCK.findall(dict(_SECTION.findall(PAGE))[heading])
    return [line for language, text in blocks if language == "console" for line in text.splitlines()]


def write(heading: str, folder: Path) -> None:
    """Write the files of a recipe."""
    for name, text in files(heading).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def argv(command: str, port: int = 0) -> list[str]:
    """The command with this interpreter, and another port."""
    program, *rest = shlex.split(command.replace(PORT, str(port)))
    return [sys.executable, *([] if program == "python" else ["-m", program]), *rest]


def environment(folder: Path) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(folder)])
    own = {"HOME": str(folder), "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "1"}


class Server:
    """A command that runs, in a process group of its own; its output goes to a file."""

    def __init__(self, command: list[str], folder: Path, port: int = 0) -> None:
        self._port = port
        self._log = folder / "output.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=environment(folder),
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self._log.read_text()

    def until(self, text: str, times: int = 1) -> None:
        """Wait until the output has the text so many times."""
        end = time.monotonic() + PATIENCE_S
        while self.output.count(text) < times:
            assert time.monotonic() < end, f"no {text!r} in\n{self.output}"
            time.sleep(0.05)

    def post(self, path: str) -> int:
        """Post a request, as soon as the server answers; return the status."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/{path}", b"")
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                assert time.monotonic() < end, self.output
                time.sleep(0.1)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal to the main process, as a process manager does; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running(command: list[str], folder: Path, port: int = 0) -> Iterator[Server]:
    server = Server(command, folder, port)
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


@contextmanager
def serving(command: str, folder: Path) -> Iterator[Server]:
    """Run a command of the page on a free port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    with running(argv(command, port), folder, port) as server:
        yield server


def touch(path: Path) -> None:
    """Change a file, for a reloader, which may look at whole seconds of the time."""
    path.write_text(path.read_text() + "\n# changed\n")
    later = time.time() + 2
    os.utime(path, (later, later))
