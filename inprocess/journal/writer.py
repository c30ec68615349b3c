"""Writer: the one thread of a process that writes a journal, many requests in one commit.

1. Requests queue; the thread takes what has come, at most GROUP, and applies it in one transaction. While it
   waits for the disk, the next group gathers.
2. The answers of a group go to each event loop in one call. The loop itself never waits for the database.
3. A database that another process holds is tried again every BUSY_S, one that is full, cannot be written or
   does not answer every AGAIN_S. What must not be lost waits (`Operation.waits`); an enqueue fails: after
   WAIT_S, or at once where waiting is of no use.
4. If one request of a group fails by itself, each is applied alone: the others do not fail with it. One that
   waits for somebody's open transaction is tried again after the others.
5. After an error that leaves the file's state unknown, the writer ends, and says so to all that wait.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from inprocess.journal.model.errors import (
    JournalBusyError,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalKeyHeldError,
    JournalReadOnlyError,
    JournalRefusedError,
    JournalUnavailableError,
)
from inprocess.journal.model.operations import AnyOperation
from inprocess.journal.model.store import Store
from inprocess.supervision.core.log import log

#: Requests that one transaction takes at most.
GROUP: Final = 256
#: Seconds between two tries while another process writes.
BUSY_S: Final = 0.002
#: Seconds between two tries where the database is full, read-only or away.
AGAIN_S: Final = 0.25
#: Seconds after which an enqueue fails that could not be written.
WAIT_S: Final = 30.0
#: Seconds between two log lines of the same trouble.
TROUBLE_S: Final = 10.0

Answer = Callable[[Any, BaseException | None], object]

_TROUBLES: Final = (JournalBusyError, JournalFullError, JournalReadOnlyError, JournalUnavailableError)
_ENDS: Final = (JournalDamagedError, JournalRefusedError)


class Listener(Protocol):
    """What a writer tells: the process that runs jobs. Called on the writer's thread."""

    def changed(self) -> None:
        """Others may have changed rows."""

    def in_doubt(self) -> None:
        """A commit failed whose rows may be there."""

    def failed(self, error: BaseException) -> None:
        """The writer has ended."""


class Request:
    """An operation and who waits for its answer: `answer(result, error)`, on the loop if there is one."""

    __slots__ = ("answer", "loop", "operation", "since")

    def __init__(
        self, operation: AnyOperation, loop: asyncio.AbstractEventLoop | None, answer: Answer
    ) -> None:
        self.operation = operation
        self.loop = loop
        self.answer = answer
        self.since = time.monotonic()


class Writer:
    """See the module. Made and started by `start`; any thread may `submit`."""

    def __init__(self, store: Store) -> None:
        #: Used on its thread alone, but for what says otherwise.
        self.store = store
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        self._kept: list[Request] = []
        self._aside: list[Request] = []
        self._aside_at = 0.0
        self._again_s: float | None = None
        self._looked_at = 0.0
        self._trouble_at = -TROUBLE_S
        self._is_in_doubt = self._is_stopping = False
        self._ending = threading.Lock()
        #: Held while the thread is in the store: a fork waits for it, since a lock of the database library
        #: that a thread holds at a fork is held for ever there.
        self.in_store = threading.Lock()
        #: The processes here that run jobs. Replaced as a whole, so that any thread may read it.
        self.listeners: tuple[Listener, ...] = ()
        #: Why it has ended; None while it works.
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    def start(self) -> None:
        """Begin: open the store, then write."""
        self._thread.start()

    def submit(self, operation: AnyOperation, loop: asyncio.AbstractEventLoop | None, answer: Answer) -> bool:
        """Queue an operation; `answer` is called once, on the loop, or on the writer's thread without one.

        Return False, and do nothing, if the writer has ended.
        """
        with self._ending:
            if self.error is None:
                self._requests.put(Request(operation, loop, answer))
            return self.error is None

    def expect_soon(self) -> None:
        """Look often for a moment: a caller's transaction is about to commit."""
        self.store.expect_soon()
        self._requests.put(None)

    def stop(self) -> None:
        """End when all that was submitted is written; returns at once."""
        self._is_stopping = True
        self._requests.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        error: BaseException = JournalError("the journal is closed")
        try:
            with self.in_store:
                self.store.open(self._woken)
            while True:
                group = self._next_group()
                if group:
                    self._apply(group)
                self._apply_aside()
                if not group and self._is_stopping and self._ends_now(error):
                    break
        except BaseException as failure:  # noqa: BLE001 - it is told to all that wait
            error = failure
        finally:
            with self._ending:
                self.error = error
            self._tell_end(error)
            with self.in_store, suppress(JournalError):
                self.store.close()

    def _ends_now(self, error: BaseException) -> bool:
        """End, unless something was submitted meanwhile."""
        with self._ending:
            if self._kept or self._aside or not self._requests.empty():
                return False
            self.error = error
            return True

    def _tell_end(self, error: BaseException) -> None:
        left, self._kept, self._aside = [*self._kept, *self._aside], [], []
        while not self._requests.empty():
            request = self._requests.get()
            if request is not None:
                left.append(request)
        _answer_all([(request, None, error) for request in left])
        for listener in self.listeners:
            listener.failed(error)

    def _next_group(self) -> list[Request]:
        """Wait for requests, look at the store meanwhile; return them after those that are tried again."""
        requests, group = self._requests, self._kept
        self._kept = []
        timeout = self._again_s
        if timeout is None and self.listeners:
            timeout = self.store.look_s
        if self._aside:
            timeout = AGAIN_S if timeout is None else min(timeout, AGAIN_S)
        try:
            first = requests.get(timeout=0.0 if self._is_stopping and timeout is None else timeout)
            if first is not None:
                group.append(first)
            while len(group) < GROUP:
                request = requests.get_nowait()
                if request is not None:
                    group.append(request)
        except Empty:
            pass
        self._look()
        return group

    def _look(self) -> None:
        listeners, look_s = self.listeners, self.store.look_s
        if not listeners or look_s is None or self._again_s is not None:
            return
        now = time.monotonic()
        if now - self._looked_at >= look_s * 0.9:
            self._looked_at = now
            with self.in_store:
                is_changed = self.store.changed()
            if is_changed:
                self._woken()

    def _woken(self) -> None:
        for listener in self.listeners:
            listener.changed()

    def _apply(self, group: Sequence[Request]) -> None:
        try:
            with self.in_store:
                results = self.store.apply([request.operation for request in group])
        except _ENDS as error:
            _answer_all([(request, None, error) for request in group])
            raise
        except Exception as error:  # noqa: BLE001 - belongs to the request
            if isinstance(error, _TROUBLES) and not isinstance(error, JournalKeyHeldError):
                self._keep(group, error)
            elif len(group) > 1:
                for request in group:
                    self._apply([request])
            elif isinstance(error, JournalKeyHeldError):
                self._put_aside(group[0], error)
            else:
                _answer_all([(group[0], None, error)])
        else:
            self._again_s = None
            if self._is_in_doubt:
                self._is_in_doubt = False
                for listener in self.listeners:
                    listener.in_doubt()
            _answer_all([(request, result, None) for request, result in zip(group, results, strict=True)])

    def _put_aside(self, request: Request, error: JournalError) -> None:
        """Try again later, alone, what waits for a transaction of somebody's: nobody waits behind it."""
        now = time.monotonic()
        if request.operation.waits or now - request.since < WAIT_S:
            self._aside.append(request)
            self._aside_at = now + AGAIN_S
        else:
            _answer_all([(request, None, error)])

    def _apply_aside(self) -> None:
        if self._aside and time.monotonic() >= self._aside_at:
            aside, self._aside = self._aside, []
            for request in aside:
                self._apply([request])

    def _keep(self, group: Sequence[Request], error: JournalError) -> None:
        """Keep what can wait for another try; fail the rest."""
        now = time.monotonic()
        is_for_now = isinstance(error, JournalBusyError | JournalUnavailableError)
        self._is_in_doubt |= isinstance(error, JournalUnavailableError)
        failed = []
        for request in group:
            if request.operation.waits or (is_for_now and now - request.since < WAIT_S):
                self._kept.append(request)
            else:
                failed.append((request, None, error))
        self._again_s = BUSY_S if isinstance(error, JournalBusyError) else AGAIN_S
        oldest = min((request.since for request in group), default=now)
        if now - self._trouble_at >= TROUBLE_S and (now - oldest > 1.0 or not is_for_now):
            self._trouble_at = now
            log.error("%s (%d requests wait)", error, len(self._kept))
        _answer_all(failed)


def _answer_all(answers: Sequence[tuple[Request, Any, BaseException | None]]) -> None:
    """Give each its answer: those of one loop in one call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Answer, Any, BaseException | None]]] = {}
    for request, result, error in answers:
        if request.loop is None:
            request.answer(result, error)
        else:
            by_loop.setdefault(request.loop, []).append((request.answer, result, error))
    for loop, together in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any longer
            loop.call_soon_threadsafe(_answer_here, together)


def _answer_here(together: Sequence[tuple[Answer, Any, BaseException | None]]) -> None:
    for answer, result, error in together:
        try:
            answer(result, error)
        except Exception:  # noqa: BLE001 - the others must have their answers
            log.exception("an answer of the journal's writer failed")
