"""The ledger: one append-only event log a process, written while a side is being measured.

Off unless QUEUE_OR_TASK_LEDGER names a folder; then each process appends JSON lines to
`events-<pid>.jsonl` in it, one `write` a line, so that a killed process loses none that it
recorded. Every line carries `t`, `time.monotonic_ns()`: one clock for all processes of a
Linux host. QUEUE_OR_TASK_CONTEXT holds what is the same on every line of the process (run,
block, side), as a JSON object.

Events: due, submit, accepted, refused, unknown, start, effect, done, failed, cancelled,
fault_on, fault_off (see METHOD.md); request and response, stamped by the load generator,
which is a client of the app; raised, the end of a run that may be
tried again; held, written by the harness for a job that it found waiting.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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


class Ledger:
    """Appends events to `events-<pid>.jsonl` in a folder; a forked child opens a file of its own."""

    def __init__(self, folder: Path, context: dict[str, Any]) -> None:
        self._folder = folder
        self._tail = json.dumps(context)[1:-1]
        self._open()

    def record(self, event: Event, *, t: int | None = None, **fields: Any) -> None:
        """Append one event, stamped now or with `t` (monotonic nanoseconds)."""
        if os.getpid() != self._pid:
            self._open()
        stamp = time.monotonic_ns() if t is None else t
        parts = [f'{{"t": {stamp}, "event": "{event}"', json.dumps(fields)[1:-1], self._tail]
        os.write(self._file, (", ".join(filter(None, parts)) + "}\n").encode())

    def _open(self) -> None:
        self._pid = os.getpid()
        path = self._folder / f"events-{self._pid}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _from_environment() -> Ledger | None:
    folder = os.environ.get(LEDGER_VARIABLE)
    return Ledger(Path(folder), json.loads(os.environ.get(CONTEXT_VARIABLE, "{}"))) if folder else None


_ledger = _from_environment()


def record(event: Event, *, t: int | None = None, **fields: Any) -> None:
    """Append one event to this process's ledger; do nothing where none is kept."""
    if _ledger is not None:
        _ledger.record(event, t=t, **fields)


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
