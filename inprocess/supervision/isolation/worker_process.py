"""WorkerProcess: a process that makes calls for this one; ProcessJob: such a call.

Processes are started fresh (never forked from this one, which has threads) and kept for the next call,
because a start takes about 0.1 s. A call may therefore find module globals as an earlier call left them.
Standard output and error are the app's and standard input is empty; context variables and logging
configuration are not passed on. A process that died, or was asked to end, is not used again.

How a death is told from an answer:

1. The thread that made the call waits for the connection and for the process (its pidfd).
2. An answer that has arrived counts, even if the process died after it was sent.
3. Otherwise the process is dead: the rest of its process group is killed, so that no grandchild
   survives, and it is reaped by the only thread that waits for it.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import spawn
from multiprocessing.connection import Connection, wait
from typing import Any

from inprocess.supervision.core.errors import WorkerDiedError
from inprocess.supervision.isolation import current_call
from inprocess.supervision.isolation.pickling import Answer, Call, open_answer, pack_call
from inprocess.supervision.isolation.worker_threads import Job

#: Seconds that a process gets to end by itself once it has no more work.
LEAVE_S = 2.0
#: Seconds between two looks at a process that ends, where the system tells nothing.
LOOK_S = 0.01

_alive: set[WorkerProcess] = set()


class WorkerProcess:
    """A started process. `call` and `close` are for one thread, `terminate` and `kill` for any."""

    def __init__(self) -> None:
        if current_call.importing_main:
            raise RuntimeError(
                "the app's main module starts a process while it is imported into one: put what it does "
                'when it is run under `if __name__ == "__main__":`'
            )
        ours, theirs = socket.socketpair()
        listen, self._lifeline = os.pipe()
        self._connection = Connection(ours.detach())
        try:
            self._process = _start(theirs.fileno(), listen)
        except BaseException:
            self._connection.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(listen)
        self._pidfd = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None
        self._lock = (
            threading.Lock()
        )  # held for each signal, and where it is reaped: its number is then another's
        self._has_left = False
        _alive.add(self)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether it lives and waits for a call."""
        return not wait(self._ends, timeout=0)

    def call(self, call: Call) -> object:
        """Make a call and return its result or raise its error; raise WorkerDiedError if it dies first."""
        try:
            self._connection.send_bytes(pickle.dumps(tuple(call)))
            wait(self._ends)
            received = self._connection.recv_bytes() if self._connection.poll(0) else b""
        except (EOFError, OSError):
            received = b""
        if not received:
            raise self._death(call.name)
        return open_answer(call.name, Answer(*pickle.loads(received)))  # noqa: S301 - from our own worker

    def terminate(self) -> None:
        """Ask it to end: SIGTERM."""
        with self._lock:
            if self._has_its_number():
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it, and the processes that it started: SIGKILL."""
        with self._lock:
            self._kill_group()

    def close(self) -> None:
        """End it, by force if necessary, and reap it."""
        self._connection.close()
        self._reap()

    def forget(self) -> None:
        """Close what a fork of the app has inherited: the process belongs to the original."""
        self._connection.close()
        os.close(self._lifeline)
        if self._pidfd is not None:
            os.close(self._pidfd)

    @property
    def _ends(self) -> list[Any]:
        return [self._connection] if self._pidfd is None else [self._connection, self._pidfd]

    def _death(self, name: str) -> WorkerDiedError:
        pid, code = self.pid, self._reap()
        if code >= 0:
            text = f"{name}: its worker process {pid} exited with code {code} before the function returned"
            return WorkerDiedError(text, exit_code=code)
        text = f"{name}: its worker process {pid} was killed by {_signal_name(-code)}"
        return WorkerDiedError(text, signal=-code)

    def _ends_within(self, seconds: float) -> bool:
        if self._pidfd is not None:
            return bool(wait([self._pidfd], None if seconds == math.inf else seconds))
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                if self._process.poll() is not None:
                    return True
            if (left := end - time.monotonic()) <= 0:
                return False
            time.sleep(min(LOOK_S, left))

    def _reap(self) -> int:
        _alive.discard(self)
        if not self._ends_within(LEAVE_S):
            self.kill()
            self._ends_within(math.inf)
        with self._lock:
            if not self._has_left:
                self._has_left = True
                self._kill_group()
                self._process.wait()
                self.forget()
        return self._process.returncode

    def _kill_group(self) -> None:
        if self._has_its_number():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _has_its_number(self) -> bool:
        """Whether nobody has reaped it: this object, other code, or the kernel where SIGCHLD is ignored."""
        if self._process.returncode is not None:
            return False
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        except AttributeError:  # a system without waitid
            return True
        return True


class ProcessJob(Job):
    """A call in a worker process."""

    __slots__ = ("_lock", "_stopped", "_worker")

    def __init__(
        self, name: str, attempt: int, function: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        super().__init__(name, lambda: self._make(pack_call(name, attempt, function, args)))
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None

    def stop(self) -> None:
        """See `Job.stop`; by SIGTERM."""
        with self._lock:
            super().stop()
            if self._worker is not None:
                self._worker.terminate()

    def kill(self) -> bool:
        """See `Job.kill`; by SIGKILL."""
        with self._lock:
            self.stop_requested = True
            if self._worker is not None:
                self._worker.kill()
        return True

    def _make(self, call: Call) -> object:
        worker = _mine()
        with self._lock:
            if self.stop_requested:
                raise WorkerDiedError(f"{self.name} was told to end before it began")
            self._worker = worker
        try:
            return worker.call(call)
        except WorkerDiedError:
            _seat.worker = None
            raise
        finally:
            with self._lock:
                self._worker = None
            if self.stop_requested:  # a signal may reach it late: it must not hit the next call
                leave()


_seat = threading.local()


def _mine() -> WorkerProcess:
    """Return the process of this thread; a new one if there is none or it has died."""
    worker: WorkerProcess | None = getattr(_seat, "worker", None)
    if worker is None or not worker.is_usable:
        leave()
        worker = _seat.worker = WorkerProcess()
    return worker


def leave() -> None:
    """End the process of this thread, if it has one."""
    worker: WorkerProcess | None = getattr(_seat, "worker", None)
    _seat.worker = None
    if worker is not None:
        worker.close()


def _start(connection: int, lifeline: int) -> subprocess.Popen[bytes]:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        f"from inprocess.supervision.isolation.worker_main import main; main({connection}, {lifeline})"
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing
    executable = os.fsdecode(spawn.get_executable() or sys.executable)
    return subprocess.Popen(
        [executable, *flags, "-c", program],
        stdin=subprocess.DEVNULL,
        pass_fds=(connection, lifeline),
        process_group=0,  # so that Ctrl-C is the app's alone, and a kill takes grandchildren along
    )


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _after_fork() -> None:
    for worker in _alive:
        worker.forget()
    _alive.clear()
    _seat.worker = None


os.register_at_fork(after_in_child=_after_fork)
