"""Starts Python programs fast: a process that has imported what they share, and forks for each.

A new interpreter takes half a second of CPU and more to import what each worker of Celery needs, and the
tests start some 200. What is forked goes on as `python -m MODULE` does: its own process group, environment,
folder, output and arguments, and its module, the app and most of ours are imported in it.

Not for what the interpreter itself takes from its environment or its options, such as PYTHONHASHSEED, nor for
pools that patch the standard library before all else (gevent, eventlet).
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
#: What every program of Celery imports, and Sidekiq with it.
CELERY: Final = (
    *("celery.bin.celery", "celery.apps.worker", "celery.apps.beat", "celery.concurrency.prefork"),
    *("celery.concurrency.solo", "celery.concurrency.thread", "celery.worker.components"),
    *("celery.worker.consumer", "celery.worker.autoscale", "celery.loaders.app", "celery.fixups.django"),
    *("celery.events.state", "kombu.transport.redis", "kombu.transport.pyamqp"),
    *("celery_impl.sidekiq.cli", "celery_impl.sidekiq.install", "celery_impl.profiles"),
)
#: What reads the environment while it is imported: each program imports it for itself.
PER_PROGRAM: Final = ("celery_impl.app", "scenarios.ledger")
#: Seconds between two looks at a program that is waited for.
LOOK_S: Final = 0.005
_PR_SET_PDEATHSIG: Final = 1


class ForkServer:
    """The server's process, seen from the tests; it ends with them."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def start(
        self,
        module: str,
        *arguments: str,
        out: Path,
        err: Path | None = None,
        env: Mapping[str, str],
        folder: Path,
    ) -> Program:
        """Start `python -m MODULE ARGUMENTS` in a process group of its own; errors go into `out` as well."""
        asked = {"module": module, "arguments": arguments, "env": dict(env), "folder": str(folder)}
        return Program(self, int(self.ask(asked | {"out": str(out), "err": str(err or out)})))

    def run(
        self,
        module: str,
        *arguments: str,
        env: Mapping[str, str] = os.environ,
        folder: Path | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` of `python -m MODULE ARGUMENTS` with its output captured as text."""
        with tempfile.TemporaryDirectory() as kept:
            out, err = Path(kept, "out"), Path(kept, "err")
            program = self.start(module, *arguments, out=out, err=err, env=env, folder=folder or Path.cwd())
            try:
                code = program.wait(timeout)
            finally:
                program.send_signal(signal.SIGKILL)
            return subprocess.CompletedProcess((module, *arguments), code, out.read_text(), err.read_text())

    def ask(self, question: object) -> Any:
        """Ask for a program, or for the exit code of one by its pid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the server, and with it whatever it has started."""
        self._process.communicate()


class Program:
    """A program that was started, with the interface of `subprocess.Popen`."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self._server = server
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """How it ended; negative for a signal, None while it runs."""
        if self._exit_code is None:
            self._exit_code = self._server.ask(self.pid)
        return self._exit_code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raise `subprocess.TimeoutExpired` where that does not come within the seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(LOOK_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


def serve(modules: Sequence[str]) -> None:
    """Import the modules, then read requests from standard input, a line each, until it ends."""
    _end_with_parent()
    for module in modules:
        importlib.import_module(module)
    assert not [module for module in PER_PROGRAM if module in sys.modules]
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _exit_code(asked) if isinstance(asked, int) else _fork(asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _exit_code(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _fork(asked: dict[str, Any]) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    out, err = (os.open(asked[name], flags, 0o644) for name in ("out", "err"))
    if pid := os.fork():
        os.close(out)
        os.close(err)
        os.setpgid(pid, pid)
        return pid
    _end_with_parent()
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, out, err)):
        os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    time.tzset()
    random.seed()
    path = [asked["folder"], *filter(None, asked["env"].get("PYTHONPATH", "").split(":"))]
    sys.path[:] = [*path, *(entry for entry in sys.path if entry not in {"", str(ROOT), *path})]
    sys.argv = [asked["module"], *asked["arguments"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    sys.exit(0)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1:])
