"""A Celery app on a journal that kills itself; started as a program by `test_kills`.

    python killed_app.py URL LOG EXPECTED [--send] [--kill-at N] [--die-in NAME]

Each task writes its name into LOG. With `--send` the app sends everything first. It ends when LOG has every
name of EXPECTED, or kills itself: at the N-th transaction after the sending, or in the task of that name.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group

from inprocess.celery import run_in_process
from inprocess.journal import Journal
from inprocess.journal.stores.sqlite.store import SQLiteStore

URL, LOG, EXPECTED, *OPTIONS = sys.argv[1:]
DIES_IN = OPTIONS[OPTIONS.index("--die-in") + 1] if "--die-in" in OPTIONS else None
KILL_AT = int(OPTIONS[OPTIONS.index("--kill-at") + 1]) if "--kill-at" in OPTIONS else None

app: Any = Celery("killed", broker="amqp://127.0.0.1:1//", set_as_current=False)
all_sent = threading.Event()
log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(name: str) -> None:
    os.write(log, f"{name}\n".encode())
    if name == DIES_IN:
        all_sent.wait()
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(acks_late=True, name="late")
def late(*names: Any) -> str:
    note(names[-1])
    return str(names[-1])


@app.task(acks_late=True, name="late_coroutine")
async def late_coroutine(*names: Any) -> str:
    note(names[-1])
    return str(names[-1])


@app.task(name="early")
def early(name: str) -> None:
    note(name)


@app.task(acks_late=True, name="retried", bind=True, max_retries=5)
def retried(self: Any) -> None:
    note(f"try-{self.request.retries}")
    if self.request.retries < 2:
        raise self.retry(countdown=0.05)


def send() -> None:
    chain(late.s("a"), late_coroutine.s("b"), late.s("c")).delay()
    chord([late.s("p1"), late_coroutine.s("p2"), group(late.s("p3"), late.s("p4"))], late.s("body")).delay()
    late.apply_async(("l",), link=late.s("linked"))
    retried.delay()
    late.apply_async(("eta",), countdown=0.1)


def count_transactions() -> None:
    """Kill this process at the N-th transaction: an even N before its commit, an odd one after."""
    apply, left = SQLiteStore.apply, [KILL_AT]

    def applied(self: SQLiteStore, operations: Any) -> Any:
        if left[0] is None or not any(operation.writes for operation in operations):
            return apply(self, operations)
        left[0] -= 1
        if left[0] <= 0 and KILL_AT is not None and KILL_AT % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        results = apply(self, operations)
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return results

    SQLiteStore.apply = applied  # type: ignore[method-assign]  # of this process


def main() -> None:
    journal = Journal(URL)
    with run_in_process(app, journal=journal, concurrency=1 if "--early" in OPTIONS else 4):
        if "--early" in OPTIONS:
            for name in EXPECTED.split(","):
                early.delay(name)
        elif "--send" in OPTIONS:
            send()
        note("sent")
        all_sent.set()
        if KILL_AT is not None:
            count_transactions()
        while not set(EXPECTED.split(",")) <= set(Path(LOG).read_text().split()):
            time.sleep(0.01)
        while journal.waiting.size() + journal.running.size() + journal.scheduled.size():
            time.sleep(0.01)
    journal.close()


if __name__ == "__main__":
    main()
