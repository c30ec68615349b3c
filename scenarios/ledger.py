"""The ledger: one append-only event log a process, written while a side is being measured.

Off unless QUEUE_OR_TASK_LEDGER names a folder; then each process appends JSON lines to
`events-<pid>.jsonl` in it (`events-<pid>-2.jsonl` where that exists). Every line carries `t`,
`time.monotonic_ns()`: one clock for all processes of a Linux host. QUEUE_OR_TASK_CONTEXT holds
what is the same on every line of the process (run, block, side), as a JSON object.

A line is in the page cache when `record` returns, so a process killed by SIGKILL loses none that
it recorded: the file is mapped into memory and shared (`MAP_SHARED`), and a line is one copy into
it, with no system call: under 2 µs (`bench/micro/test_ledger.py`). The price is that a file is
reserved ahead: behind its last line it holds zero bytes until the process ends, and for good where
it is killed. `whole_lines` reads past them.

Events: due, submit, accepted, refused, unknown, start, effect, done, failed, cancelled,
fault_on, fault_off (see docs/method.md); request and response, stamped by the load generator,
which is a client of the app; raised, the end of a run that may be
tried again; held, written by the harness for a job that it found waiting.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from time import monotonic_ns as _now
from typing import Any, Literal

LEDGER_VARIABLE = "QUEUE_OR_TASK_LEDGER"
CONTEXT_VARIABLE = "QUEUE_OR_TASK_CONTEXT"

Event = Literal[
    "due",
    "request",
    "response",
    "submit",
    "accepted",
    "refused",
    "unknown",
    "start",
    "effect",
    "done",
    "raised",
    "failed",
    "cancelled",
    "held",
    "fault_on",
    "fault_off",
]


#: Bytes reserved and mapped at a time: some 1,300 lines, which costs about 0.2 ms once.
RESERVED_BYTES = 262_144
#: Reserve the pages at once, where the system can: the first touch of each would cost more than a line.
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)
#: What stands for a window before the first event.
_NOWHERE = mmap.mmap(-1, 1)


class _Window:
    """A part of a file in memory: where the next line goes, and where the part ends."""

    __slots__ = ("at", "end", "map")

    def __init__(self, mapped: mmap.mmap, end: int) -> None:
        self.map = mapped
        self.at = 0
        self.end = end


class Ledger:
    """Appends events to `events-<pid>.jsonl` in a folder; a forked child opens a file of its own.

    Safe to use from every thread and from signal handlers, without a lock: see `write`. Raise
    OSError where the disk is full.
    """

    def __init__(self, folder: Path, context: dict[str, Any]) -> None:
        self._folder = folder.absolute()
        shared = json.dumps(context)[1:-1]
        self._tail = f", {shared}}}\n" if shared else "}\n"
        self.forget()
        _opened.add(self)

    def record(
        self,
        event: Event,
        *,
        t: int | None = None,
        scenario: str | None = None,
        job: str | None = None,
        attempt: int | None = None,
        **fields: Any,
    ) -> None:
        """Append one event, stamped now or with `t` (monotonic nanoseconds)."""
        self.write(event, t, scenario, job, attempt, fields)

    def write(  # noqa: PLR0917 - in their order: passing names on costs 0.2 µs
        self,
        event: Event,
        t: int | None,
        scenario: str | None,
        job: str | None,
        attempt: int | None,
        fields: dict[str, Any],
    ) -> None:
        """As `record`, for `record` itself."""
        stamp = _now() if t is None else t
        if job is not None and scenario is not None and not fields:
            # What the process under test writes, in one piece: half the time of the general way.
            tail = self._tail if attempt is None else f', "attempt": {attempt}{self._tail}'
            line = (
                f'{{"t": {stamp}, "event": "{event}", "scenario": {_quoted(scenario)}, '
                f'"job": {_quoted(job)}{tail}'
            ).encode()
        else:
            named = {"scenario": scenario, "job": job, "attempt": attempt}
            line = self._line(event, stamp, {k: v for k, v in named.items() if v is not None} | fields)
        length = len(line)
        # From here to the return CPython looks neither for another thread nor for a signal: it does so
        # at calls and backward jumps, and there is none. So the place is taken and filled in one step.
        window = self._window
        start = window.at
        window.at = end = start + length
        if end <= window.end:
            window.map[start:end] = line
        else:
            self._append_elsewhere(line)

    def _line(self, event: Event, stamp: int, fields: dict[str, Any]) -> bytes:
        told = f", {json.dumps(fields)[1:-1]}" if fields else ""
        return f'{{"t": {stamp}, "event": "{event}"{told}{self._tail}'.encode()

    def close(self) -> None:
        """Give back what is reserved behind the last line; an event after this opens a new file."""
        with self._lock:
            path, size = self._path, self._offset + min(self._window.at, self._window.end)
            self.forget()
            if path is not None:
                with suppress(FileNotFoundError):
                    os.truncate(path, size)

    def forget(self) -> None:
        """Have no file: the first event makes one. In a forked child the parent's stays the parent's."""
        self._lock = threading.RLock()
        self._path: Path | None = None
        self._offset = 0  # of the window in the file
        self._window = _Window(_NOWHERE, 0)

    def _append_elsewhere(self, line: bytes) -> None:
        """Append a line that does not fit into the window; the zero bytes left there are passed over."""
        with self._lock:
            while True:
                window = self._window
                start = window.at
                window.at = end = start + len(line)
                if end <= window.end:
                    window.map[start:end] = line
                    return
                self._window = self._next_window(len(line))

    def _next_window(self, length: int) -> _Window:
        if self._path is None:
            self._path = self._create()
        else:
            self._offset += self._window.end
        size = -(-length // RESERVED_BYTES) * RESERVED_BYTES
        file = os.open(self._path, os.O_RDWR)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file, self._offset, size)  # a full disk raises here and kills nobody later
            else:  # pragma: no cover - macOS
                os.ftruncate(file, self._offset + size)
            flags = mmap.MAP_SHARED | _POPULATE
            return _Window(mmap.mmap(file, size, flags=flags, offset=self._offset), size)
        finally:
            os.close(file)

    def _create(self) -> Path:
        """A new file: the number of a process that was killed may be given to another."""
        for number in count(1):
            suffix = "" if number == 1 else f"-{number}"
            path = self._folder / f"events-{os.getpid()}{suffix}.jsonl"
            with suppress(FileExistsError):
                path.touch(mode=0o644, exist_ok=False)
                return path
        raise AssertionError  # the count has no end


_opened: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in _opened:
        ledger.forget()


@atexit.register
def _close_all() -> None:
    for ledger in _opened:
        ledger.close()


os.register_at_fork(after_in_child=_after_fork)


def whole_lines(content: bytes) -> list[bytes]:
    """The lines of a ledger file that are complete, in order: without zero bytes and what was cut."""
    return [line.strip(b"\0") for line in content.split(b"\n")[:-1]]


def _from_environment() -> Ledger | None:
    folder = os.environ.get(LEDGER_VARIABLE)
    return Ledger(Path(folder), json.loads(os.environ.get(CONTEXT_VARIABLE, "{}"))) if folder else None


_ledger = _from_environment()


def keep(folder: Path, context: dict[str, Any]) -> None:
    """Keep this process's ledger in the folder from here on, whatever the environment says."""
    global _ledger  # noqa: PLW0603 - one ledger a process, and this is where it lives
    _ledger = Ledger(folder, context)


def record(
    event: Event,
    *,
    t: int | None = None,
    scenario: str | None = None,
    job: str | None = None,
    attempt: int | None = None,
    **fields: Any,
) -> None:
    """Append one event to this process's ledger; do nothing where none is kept."""
    if _ledger is not None:
        _ledger.write(event, t, scenario, job, attempt, fields)


@contextmanager
def attempt(scenario: str, job: str, number: int = 1) -> Iterator[None]:
    """Record start and done around one run of a job, or how else it ended: raised or cancelled."""
    record("start", scenario=scenario, job=job, attempt=number)
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        record("cancelled", scenario=scenario, job=job, attempt=number)
        raise
    except Exception:
        record("raised", scenario=scenario, job=job, attempt=number)
        raise
    record("done", scenario=scenario, job=job, attempt=number)


def failed(scenario: str, job: str, *, where: str, error: object) -> None:
    """Record that a job was given up, and `where` a person finds the record of it (log, dead set)."""
    record("failed", scenario=scenario, job=job, where=where, error=str(error)[:200])
