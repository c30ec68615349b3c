"""The service that the jobs of `journal_soak` call: it counts what comes over TCP, and answers each line.

A line is `EVENT NAME PID ATTEMPT`. Events: `accepted`, an enqueue has returned, or a transaction with a job
in it was committed; `run`, a job has begun; `effect`, its work is done.
"""

from __future__ import annotations

import socketserver
import subprocess
import threading
import time
from contextlib import suppress
from typing import Final, NamedTuple, Self

#: Seconds between two looks of `wait_for`.
LOOK_S: Final = 0.01


class Call(NamedTuple):
    """A line that has come."""

    event: str
    name: str
    pid: int
    attempt: int
    at: float


class Service:
    """Listens on a port of its own, on threads, while its block runs."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._lock = threading.Lock()
        service = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(ConnectionError):  # the caller was killed
                    for line in self.rfile:
                        service.note(line)
                        self.wfile.write(b"ok\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(LOOK_S,), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def note(self, line: bytes) -> None:
        """Count a line. Any thread."""
        event, name, pid, attempt = line.decode().split()
        with self._lock:
            self.calls.append(Call(event, name, int(pid), int(attempt), time.monotonic()))

    def of(self, event: str) -> list[Call]:
        """Return the calls of an event so far."""
        with self._lock:
            return [call for call in self.calls if call.event == event]

    def names(self, event: str) -> set[str]:
        """Return the names of the calls of an event so far."""
        return {call.name for call in self.of(event)}

    def wait_for(self, event: str, process: subprocess.Popen[bytes], seconds: float) -> bool:
        """Wait until a call of an event has come from a process; return False after a time, or at its end."""
        deadline = time.monotonic() + seconds
        while not any(call.pid == process.pid for call in self.of(event)):
            if time.monotonic() > deadline or process.poll() is not None:
                return False
            time.sleep(LOOK_S)
        return True
